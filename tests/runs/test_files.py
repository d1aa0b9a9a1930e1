"""Files are whole or absent, alone and as a set, and leftovers of killed processes are removed."""

import os
import shutil
from contextlib import suppress
from itertools import count

import pytest

from bondwise.runs import FileSet, RunError, UsageError, write_atomically

NAMES = ("c.qpy", "c.ansatz.qpy", "c.parameters.json", "c.json")


def files_in(folder):
    return {path.name: path.read_text() for path in folder.glob("[!.]*")}


def write_set(folder, label):
    paths = [folder / name for name in NAMES]
    FileSet(*paths).write(dict.fromkeys(paths, label))


def test_set_killed_at_any_step_is_never_mixed(tmp_path, kill_at):
    (tmp_path / "first").mkdir()
    write_set(tmp_path / "first", "old")
    for number in count():
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", folder)
        killed = kill_at(number, lambda folder=folder: write_set(folder, "new"))
        found = files_in(folder)
        assert len(set(found.values())) <= 1, found
        assert "c.json" not in found or len(found) == 4
        FileSet(*[folder / name for name in NAMES])  # the next command begins with this
        assert files_in(folder) in (dict.fromkeys(NAMES, "old"), dict.fromkeys(NAMES, "new"))
        assert len(os.listdir(folder)) == 4
        if not killed:
            break
    assert number > 20
    assert files_in(folder) == dict.fromkeys(NAMES, "new")


def test_set_of_a_new_folder(tmp_path):
    files = FileSet(*[tmp_path / "a" / "b" / name for name in NAMES])
    assert not list(tmp_path.iterdir())
    files.write({tmp_path / "a" / "b" / name: name for name in NAMES})
    assert sorted(os.listdir(tmp_path / "a" / "b")) == sorted(NAMES)


def test_racing_sets_never_mix(tmp_path):
    children = []
    for number in range(8):
        children.append(os.fork())
        if not children[-1]:
            with suppress(BaseException):
                for _ in range(10):
                    write_set(tmp_path, f"run {number}")
                os._exit(0)
            os._exit(1)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)
    assert len(set(files_in(tmp_path).values())) == 1


def test_a_folder_that_another_process_removes_is_made_again(tmp_path, monkeypatch):
    """It is there when this process wants to make it, and gone when it looks."""
    made, calls = os.mkdir, []

    def mkdir(path, *rest, **more):
        calls.append(path)
        if len(calls) == 1:
            raise FileExistsError(17, "File exists", str(path))
        return made(path, *rest, **more)

    monkeypatch.setattr(os, "mkdir", mkdir)
    write_set(tmp_path, "new")
    assert set(files_in(tmp_path).values()) == {"new"}


def test_what_it_removes_last_is_its_lock(tmp_path, monkeypatch):
    """Without the lock, the folder belongs to the next process."""
    removed, unlink = [], os.unlink

    def noting(path, *rest, **more):
        if os.path.basename(path) == "lock":
            removed.append(sorted(os.listdir(os.path.dirname(path))))
        return unlink(path, *rest, **more)

    monkeypatch.setattr(os, "unlink", noting)
    write_set(tmp_path, "new")
    assert removed
    assert all(left == ["lock"] for left in removed)


def test_leftovers_of_killed_writers_go_and_those_of_running_ones_stay(tmp_path, kill_at):
    for number in count():
        if not kill_at(number, lambda: write_atomically(tmp_path / "a.csv", "new")):
            break
        write_atomically(tmp_path / "a.csv", "old")
        assert os.listdir(tmp_path) == ["a.csv"]
    assert number > 2
    reading, writing = os.pipe()
    child = os.fork()
    if not child:  # writes forever
        os.fsync = lambda _: (os.write(writing, b"x"), os.read(os.pipe()[0], 1))
        write_atomically(tmp_path / "a.csv", "third")
    os.read(reading, 1)
    write_atomically(tmp_path / "a.csv", "fourth")
    assert len(os.listdir(tmp_path)) == 2
    os.kill(child, 9)
    os.waitpid(child, 0)
    write_atomically(tmp_path / "a.csv", "fifth")
    assert files_in(tmp_path) == {"a.csv": "fifth"}
    assert len(os.listdir(tmp_path)) == 1


def test_longest_name_a_file_can_have(tmp_path):
    path = write_atomically(tmp_path / ("ä" * 127), "1")
    assert path.read_text() == "1"
    with pytest.raises(RunError, match="too long"):
        write_atomically(tmp_path / ("a" * 256), "1")
    assert len(os.listdir(tmp_path)) == 1


def test_a_missing_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("1")
    for folder in ("absent", "file"):
        with pytest.raises(UsageError, match=f"there is no folder .*{folder}; create it, or choose another"):
            write_atomically(tmp_path / folder / "a.csv", "1")
    assert os.listdir(tmp_path) == ["file"]


def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(RunError, match="not a regular file"):
            write_atomically(tmp_path / name, "1")
        with pytest.raises(RunError, match=f"{name}: it is not a regular file"):
            FileSet(tmp_path / "a", tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_set_is_refused_where_it_cannot_be_written(tmp_path):
    for folder in ("/proc/run", tmp_path / "deep" / ("a" * 300)):
        with pytest.raises(RunError, match="cannot write to"):
            write_set(tmp_path / folder, "new")
    with pytest.raises(RunError, match="too long"):
        FileSet(tmp_path / "a.qpy", tmp_path / ("a" * 256))
    assert not list(tmp_path.iterdir())


def test_a_link_that_leads_nowhere_is_refused(tmp_path, monkeypatch):
    """It is in the place of a folder, and no other process is going to remove it."""
    made, calls = os.mkdir, []

    def mkdir(path, *rest, **more):
        calls.append(path)
        assert len(calls) < 10, "it waits for ever"
        return made(path, *rest, **more)

    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(RunError, match="link: File exists"):
        write_set(tmp_path / "link", "new")
