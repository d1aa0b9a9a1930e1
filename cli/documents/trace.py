"""`trace.csv`: the steps of every training of a run, each written as soon as it is taken."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bondwise.runs import RunError, RunFolder, read_text

if TYPE_CHECKING:
    from bondwise.qml import Step, Training

_HEAD = "start,step,energy,gradient_norm,seconds"


class Trace:
    """The file `trace.csv` of a run.

    A run that is killed leaves whole lines. When it is resumed, those of steps after its checkpoint are cut
    off, because these steps are taken again.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._path = folder.path / "trace.csv"
        self._lines: dict[str, list[str]] = {}
        for line in read_text(self._path).splitlines() if self._path.exists() else []:
            if match := re.match(r"([a-z-]+),\d+,", line):
                self._lines.setdefault(match[1], []).append(line)

    @contextmanager
    def of(self, start: str) -> Iterator[Callable[[Step], None]]:
        """The callback that writes the steps of the training from a start.

        Raises:
            RunError: If the disk is full or read-only.
        """
        file: int | None = None

        def write(step: Step) -> None:
            nonlocal file
            line = _line(start, step.step, step.loss, step.gradient_norm, step.seconds)
            if file is None:
                before = [kept for kept in self._lines.get(start, []) if int(kept.split(",")[1]) < step.step]
                self._write(start, [*before, line])
                file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            else:
                os.write(file, f"{line}\n".encode())

        try:
            yield write
        except OSError as error:
            raise RunError(f"cannot write to {self._folder.path}: {error.strerror or error}.") from error
        finally:
            if file is not None:
                os.close(file)

    def keep(self, start: str, training: Training) -> None:
        """Write the finished training from a start as a whole."""
        columns = (training.losses.tolist(), training.gradient_norms.tolist(), training.seconds.tolist())
        self._write(start, [_line(start, step, *row) for step, row in enumerate(zip(*columns, strict=True))])

    def _write(self, start: str, lines: list[str]) -> None:
        self._lines[start] = lines
        everything = [_HEAD, *(line for steps in self._lines.values() for line in steps)]
        self._folder.write("trace.csv", "\n".join(everything) + "\n")


def _line(start: str, step: int, loss: float, norm: float, seconds: float) -> str:
    return f"{start},{step},{loss!r},{norm!r},{seconds:.3f}"
