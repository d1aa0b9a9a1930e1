"""A run folder is refused, locked, or left whole."""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from itertools import count

import pytest

from bondwise.cli.documents.envelope import SCHEMA
from bondwise.cli.documents.settings import keep_settings
from bondwise.runs import RunError, RunFolder, UsageError, unknown_name


def test_writes_and_refuses_a_second_run(tmp_path):
    with RunFolder(tmp_path / "deep" / "run") as folder:
        folder.write_json("result.json", {"a": 1})
    with pytest.raises(UsageError, match="give overwrite=True to replace it"), RunFolder(folder.path):
        pass
    with RunFolder(folder.path, resume=True) as again:
        assert json.loads((again.path / "result.json").read_text()) == {"a": 1}
    with RunFolder(folder.path, overwrite=True) as again:
        assert not (again.path / "result.json").exists()


def test_does_not_touch_folders_of_others(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UsageError, match="not made by a run"), RunFolder(tmp_path, **flags):
            pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UsageError, match="is a file"), RunFolder(tmp_path / "thesis.tex"):
        pass


def test_folder_in_use_is_refused(tmp_path):
    code = (
        "import sys, time; from bondwise.runs import RunFolder\n"
        "with RunFolder(sys.argv[1]): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "run"], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with (
            pytest.raises(UsageError, match="in use by another run"),
            RunFolder(tmp_path / "run", overwrite=True),
        ):
            pass
        other.kill()
    with RunFolder(tmp_path / "run"):  # the lock dies with its process, and the folder is empty
        pass


def test_failed_run_leaves_nothing_half_written(tmp_path):
    with pytest.raises(ValueError, match="boom"), RunFolder(tmp_path / "a" / "b"):
        raise ValueError("boom")
    assert not list(tmp_path.iterdir())
    with pytest.raises(RunError, match="bad.json"), RunFolder(tmp_path / "c") as folder:
        folder.write_json(folder.write("checkpoint", b"1").with_name("bad.json").name, {object()})
    assert (tmp_path / "c" / "checkpoint").read_bytes() == b"1"


def test_wrong_use_leaves_nothing_of_a_new_run(tmp_path):
    def wrong(path, **flags):
        with RunFolder(path, **flags) as folder:
            folder.write("settings.json", "{}")
            raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        wrong(tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no"):
        wrong(tmp_path / "empty")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["empty"]
    with RunFolder(tmp_path / "c") as folder:
        folder.write("result.json", "{}")
    for flags in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match="no"):
            wrong(tmp_path / "c", **flags)
        assert (tmp_path / "c" / "result.json").exists()
    with pytest.raises(UsageError, match="no"), RunFolder(tmp_path / "d") as folder:
        keep_and_fail(folder)
    assert (tmp_path / "d" / "checkpoint").exists()


def keep_and_fail(folder):
    folder.write("checkpoint", b"1")
    folder.keep()
    raise UsageError("no")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot write"), RunFolder(tmp_path / "run"):
        pass


def test_read_only_file_system():
    with pytest.raises(RunError, match="cannot write to /proc/run"), RunFolder("/proc/run"):
        pass


def test_numbers_that_json_lacks_are_null(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("result.json", {"energy": float("nan")})
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"energy": None}


def test_contradicting_flags_and_nothing_to_resume(tmp_path):
    with pytest.raises(UsageError, match="mutually exclusive"):
        RunFolder(tmp_path, overwrite=True, resume=True)
    with pytest.raises(UsageError, match="no run to resume"), RunFolder(tmp_path / "run", resume=True):
        pass


def test_unknown_name_suggests():
    assert "Did you mean 'heisenberg'?" in str(unknown_name("model", "Heisenburg", ["ising", "heisenberg"]))
    assert "Did you mean" not in str(unknown_name("model", "zzz", ["ising"]))


def labels_in(folder):
    return {path.name: path.read_text() for path in folder.glob("[!.]*")}


def whole(label):
    kept = {"schema": SCHEMA, "run": "vqe", "settings": {"seed": label}}
    fingerprint = sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return {
        "settings.json": json.dumps(kept, indent=2) + "\n",
        "preparation": fingerprint,
        "result.json": label,
    }


def run_of(label, path, **flags):
    """A run that can be resumed and uses what it finds, as commands do."""
    with RunFolder(path, **flags) as folder:
        fingerprint = keep_settings(
            folder, {"seed": label}, flags.get("resume", False), command="vqe", flags={}, contents={}
        )
        kept = folder.path / "preparation"
        found = kept.read_text() if kept.exists() else None
        folder.write("preparation", found or fingerprint)
        folder.write("result.json", label)


def is_one_run(parent, *labels):
    """The folder holds one run, the beginning of one, or nothing; and one result exists, there or aside."""
    files = labels_in(parent / "run")
    assert any(files.items() <= whole(label).items() for label in labels), files
    aside = parent / ".run.bondwise-replaced"
    assert "result.json" in files or labels_in(aside) in (whole("old"), whole("new"))


AFTER = {
    "same": ("new", {"resume": True}),
    "earlier": ("old", {"resume": True}),
    "other": ("third", {"resume": True}),
    "again": ("third", {"overwrite": True}),
    "plain": ("third", {"resume": False}),
}


def go_on(parent, after):
    """A run after a killed one succeeds or is refused, and nothing is mixed or lost."""
    label, flags = AFTER[after]
    before = labels_in(parent / "run")
    try:
        run_of(label, parent / "run", **flags)
        done = True
    except UsageError:
        done = False
    is_one_run(parent, "old", "new", "third")
    if done:
        assert labels_in(parent / "run") == whole(label)
        assert [entry.name for entry in parent.iterdir()] == ["run"]
        assert not list((parent / "run").glob("*.part"))
    assert done or after != "again"
    assert not done or after not in ("other", "plain")
    assert done or after != "same" or before.items() <= whole("old").items()


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_step_of_overwriting(tmp_path, kill_at, every):
    run_of("old", tmp_path / "first" / "run")
    for number in count(step=every):
        parent = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", parent)
        killed = kill_at(number, lambda parent=parent: run_of("new", parent / "run", overwrite=True))
        is_one_run(parent, "old", "new")
        for after in AFTER:
            shutil.copytree(parent, tmp_path / after)
            go_on(tmp_path / after, after)
            shutil.rmtree(tmp_path / after)
        if not killed:
            break
    assert number > 20
    assert labels_in(parent / "run") == whole("new")


@pytest.mark.slow
@pytest.mark.parametrize("second", ["same", "again"])
def test_killed_twice(tmp_path, kill_at, second):
    run_of("old", tmp_path / "first" / "run")
    label, flags = AFTER[second]
    for number in count(step=5):
        parent = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", parent)
        killed = kill_at(number, lambda parent=parent: run_of("new", parent / "run", overwrite=True))
        for step in count(number % 3, step=3):
            shutil.copytree(parent, tmp_path / "twice")

            def work():
                try:
                    run_of(label, tmp_path / "twice" / "run", **flags)
                except UsageError:
                    assert second == "same"

            again = kill_at(step, work)
            is_one_run(tmp_path / "twice", "old", "new", "third")
            for after in AFTER:
                shutil.copytree(tmp_path / "twice", tmp_path / after)
                try:
                    run_of(AFTER[after][0], tmp_path / after / "run", **AFTER[after][1])
                except UsageError:
                    pass
                is_one_run(tmp_path / after, "old", "new", "third")
                shutil.rmtree(tmp_path / after)
            shutil.rmtree(tmp_path / "twice")
            if not again:
                break
        if not killed:
            break


def stopped_after(name, path, **flags):
    with RunFolder(path, overwrite=True, **flags) as folder:
        folder.write(name, whole("new")["settings.json"])
        raise KeyboardInterrupt


def test_failed_overwriting_puts_the_earlier_run_back(tmp_path):
    run_of("old", tmp_path / "run")
    for error in (ValueError, KeyboardInterrupt, UsageError):
        with pytest.raises(error), RunFolder(tmp_path / "run", overwrite=True):
            raise error
        assert labels_in(tmp_path / "run") == whole("old")
    with pytest.raises(KeyboardInterrupt):
        stopped_after("report.html", tmp_path / "run")
    assert labels_in(tmp_path / "run") == whole("old")
    with pytest.raises(KeyboardInterrupt):
        stopped_after("settings.json", tmp_path / "run", resume=False)
    assert labels_in(tmp_path / ".run.bondwise-replaced") == whole("old")  # until the new run has a result
    run_of("new", tmp_path / "run", resume=True)
    assert labels_in(tmp_path / "run") == whole("new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_folder_is_in_use_while_it_is_replaced(tmp_path):
    run_of("old", tmp_path / "run")
    with RunFolder(tmp_path / "run", overwrite=True):
        for flags in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(UsageError, match="in use"), RunFolder(tmp_path / "run", **flags):
                pass
        shutil.rmtree(tmp_path / "run")  # the moment between two renames
        for flags in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(UsageError, match="in use"), RunFolder(tmp_path / "run", **flags):
                pass


def test_link_and_mode_stay_and_the_place_of_the_shell_is_refused(tmp_path, monkeypatch):
    run_of("old", tmp_path / "disk" / "run")
    (tmp_path / "disk" / "run").chmod(0o2750)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "run")
    run_of("new", tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert labels_in(tmp_path / "disk" / "run") == whole("new")
    assert (tmp_path / "disk" / "run").stat().st_mode & 0o7777 == 0o2750
    monkeypatch.chdir(tmp_path / "disk" / "run")
    with pytest.raises(UsageError, match="while it is the working directory"):
        run_of("third", ".", overwrite=True)
    assert labels_in(tmp_path / "disk" / "run") == whole("new")


def test_a_process_that_left_as_another_moved_its_run_aside_is_not_in_the_way(tmp_path, monkeypatch):
    path = tmp_path / "run"
    run_of("old", path)
    rename = os.rename

    def meanwhile(source, target):
        rename(source, target)
        if source == path:  # it is aside now, and someone else comes
            path.mkdir()
            (path / ".bondwise").touch()

    monkeypatch.setattr(os, "rename", meanwhile)
    run_of("new", path, overwrite=True)
    assert (path / "result.json").read_text() == "new"


def test_racing_runs_never_mix(tmp_path):
    """Many processes that overwrite one folder: each is refused or leaves its own files, whole."""
    run_of("old", tmp_path / "run")
    children = []
    for number in range(6):
        children.append(os.fork())
        if not children[-1]:
            try:
                for _ in range(10):
                    with suppress(UsageError):
                        run_of(f"run {number}", tmp_path / "run", overwrite=True)
            except BaseException:
                os._exit(1)
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    files = labels_in(tmp_path / "run")
    assert files == whole(files["result.json"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("length", [250, 300])  # the earlier run needs a longer name to be set aside
def test_names_too_long_are_said_before_the_work(tmp_path, length):
    with pytest.raises(RunError, match="too long"), RunFolder(tmp_path / "deep" / ("a" * length)):
        pytest.fail("the work began")
    assert not list(tmp_path.iterdir())


def test_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"), RunFolder(tmp_path / "deep" / "run"):
        pytest.fail("the work began")
    assert not list(tmp_path.iterdir())


def test_files_of_others_are_not_overwritten(tmp_path):
    path = tmp_path / "run"
    run_of("first", path)
    (path / "plots").mkdir()
    for name in ("plots/mine.txt", "notes.txt"):
        (path / name).write_text("mine")
        with (
            pytest.raises(UsageError, match=f"run holds {name}, which is of no run; move it"),
            RunFolder(path, overwrite=True),
        ):
            pass
        with RunFolder(path, resume=True):  # what it keeps does not become its own
            pass
        with pytest.raises(UsageError, match=f"holds {name}"), RunFolder(path, overwrite=True):
            pass
        assert (path / name).read_text() == "mine"
        (path / name).unlink()
    run_of("second", path, overwrite=True)
    assert not (path / "plots").exists()
