"""OpenQASM with its includes written out, and where each line of the result came from."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path

from bondwise.runs import UsageError, one_line, read_text, require_within

LIBRARIES = {2: "qelib1.inc", 3: "stdgates.inc"}  # which the parsers bring along
_MOST = 100  # includes of one file
_COMMENT = r"//[^\n]*+|(?>/\*.*?(?:\*/|\Z))"  # atomic: comments of many slashes must not be tried in all ways
_TOKEN = re.compile(
    rf"""{_COMMENT}|\binclude(?:\s|{_COMMENT})*+("[^"\n]*"|'[^'\n]*')\s*;|"[^"\n]*"|'[^'\n]*'""", re.DOTALL
)
_VERSION = re.compile(rf"(?:\s|{_COMMENT})*+OPENQASM\s+(\d+)(?:\.\d+)?\s*;", re.DOTALL)


def version_of(text: str, name: object) -> int:
    """The OpenQASM version of a program, from its first statement.

    Args:
        text: The program; comments before the statement may say anything. Without the statement, the version
            is 2 if `qelib1.inc` is included, otherwise 3.
        name: Start of the message.

    Raises:
        UsageError: If the version is neither 2 nor 3.
    """
    first = _VERSION.match(text)
    if first is None:
        names = [token[1][1:-1] for token in _TOKEN.finditer(text) if token[1]]
        return 2 if LIBRARIES[2] in names else 3
    if first[1] not in ("2", "3"):
        line = text.count("\n", 0, first.start(1)) + 1
        raise UsageError(
            f"{name}, line {line}: OpenQASM {one_line(first[1], 20)} is unknown; "
            "give OpenQASM 2 or 3, whose first line is OPENQASM 2.0; or OPENQASM 3.0;."
        )
    return int(first[1])


def says_version(text: str) -> bool:
    """Whether a program says its version, at the beginning or by the library that it includes."""
    return _VERSION.match(text) is not None or any(
        token[1] and token[1][1:-1] in LIBRARIES.values() for token in _TOKEN.finditer(text)
    )


class Expansion:
    """A program with the files that it includes in place of its `include` statements.

    Args:
        text: The program.
        path: Path of its file. Only files in its folder, or in folders inside it, are included.
        version: 2 or 3; the include of its standard library stays.

    Attributes:
        text: The program written out.

    Raises:
        UsageError: If a file to include is elsewhere, missing, not text, or includes itself, or if the
            program becomes too large.
    """

    def __init__(self, text: str, path: Path, version: int) -> None:
        self._path, self._version = path, version
        self._pieces: list[str] = []
        self._starts: list[int] = []  # first line of each piece
        self._origins: list[tuple[str, int]] = []  # its file, and its first line there
        self._lines, self._size, self._included = 1, 0, 0
        self._add(text, "", ())
        self.text = "".join(self._pieces)

    def place(self, line: int) -> str:
        """Where a line of `text` came from: "line 3", or "gates.inc, line 3"."""
        index = max(bisect_right(self._starts, line) - 1, 0)
        name, first = self._origins[index]
        number = first + line - self._starts[index]
        return f"{name}, line {number}" if name else f"line {number}"

    def _add(self, text: str, name: str, inside: tuple[Path, ...]) -> None:
        """Add a file; `inside` are the files that include it."""
        done, line, column = 0, 1, 0
        for token in _TOKEN.finditer(text):
            included = token[1] and token[1][1:-1]
            if not included or included == LIBRARIES[self._version]:
                continue
            before = text[done : token.start()]
            self._piece(before, name, line, column)
            self._included += 1
            if self._included > _MOST:
                raise UsageError(f"{self._path} includes more than {_MOST} files; merge some of them.")
            line += text.count("\n", done, token.start())
            file = self._file(included, f"{self._path}, {f'{name}, ' if name else ''}line {line}")
            if file in inside:
                raise UsageError(f"{self._path}: {one_line(included, 60)} includes itself; remove the line.")
            content = read_text(file)
            self._size += len(content)
            require_within("text_bytes", self._size, f"{self._path}, with what it includes,")
            self._add(content, included, (*inside, file))
            line += token[0].count("\n")
            done = token.end()
            column = done - text.rfind("\n", 0, done) - 1
        self._piece(text[done:], name, line, column)

    def _piece(self, text: str, name: str, line: int, column: int) -> None:
        """Add text that begins in a column of a line; it keeps both."""
        self._starts.append(self._lines)
        self._origins.append((name, line))
        self._pieces.append(f"{' ' * column}{text}\n")
        self._lines += text.count("\n") + 1

    def _file(self, name: str, where: str) -> Path:
        """The file of an `include` statement."""
        folder, shown, beside = self._path.parent.resolve(), one_line(name, 60), Path(name)
        library, file, found = LIBRARIES[self._version], folder, False
        inside = not beside.is_absolute() and ".." not in beside.parts and "\0" not in name
        if inside:
            try:
                file = (folder / beside).resolve()
                found, inside = file.is_file(), file.is_relative_to(folder)
            except (OSError, RuntimeError):  # a name that is too long, a link to itself
                found = False
        if not inside:
            raise UsageError(
                f"{where} includes {shown!r}, which is not in its folder; "
                f'move the file there, or write include "{library}";'
            )
        if found:
            return file
        if name in LIBRARIES.values():
            raise UsageError(
                f"{where} includes {shown!r}, which is not for OpenQASM {self._version}; "
                f'write include "{library}";'
            )
        raise UsageError(
            f"{where} includes {shown!r}, and there is no such file in its folder; "
            f'put it there, or write include "{library}";'
        )
