"""A run folder is refused, locked, or left whole."""

import json
import os
import subprocess
import sys

import pytest

from bondwise.runs import RunError, RunFolder, UsageError, unknown_name


def test_writes_and_refuses_a_second_run(tmp_path):
    with RunFolder(tmp_path / "deep" / "run") as folder:
        folder.write_json("result.json", {"a": 1})
    with pytest.raises(UsageError, match="--overwrite"), RunFolder(folder.path):
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


def test_killed_before_replacing(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.write("old", b"1")
    folder = RunFolder(tmp_path, overwrite=True)
    folder.__enter__()
    os.close(folder._lock)  # what the end of a killed process does
    with RunFolder(tmp_path, overwrite=True) as again:
        again.write("new", b"2")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".bondwise", "new"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot write"), RunFolder(tmp_path / "run"):
        pass


def test_read_only_file_system():
    with pytest.raises(RunError, match="cannot write in /proc/run"), RunFolder("/proc/run"):
        pass


def test_numbers_that_json_lacks_are_null(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("result.json", {"energy": float("nan")})
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"energy": None}


def test_contradicting_flags_and_nothing_to_resume(tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        RunFolder(tmp_path, overwrite=True, resume=True)
    with pytest.raises(UsageError, match="no run to resume"), RunFolder(tmp_path / "run", resume=True):
        pass


def test_unknown_name_suggests():
    assert "Did you mean 'heisenberg'?" in str(unknown_name("model", "Heisenburg", ["ising", "heisenberg"]))
    assert "Did you mean" not in str(unknown_name("model", "zzz", ["ising"]))
