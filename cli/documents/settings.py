"""The settings of a run, kept in its folder: a run can only be resumed with the same settings."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bondwise.cli.documents.envelope import SCHEMA, flag_text
from bondwise.runs import RunFolder, UsageError, is_file, read_json

_ON_DEVICES = ("run", "vqe", "mitigate", "mitigate benchmark")  # commands whose jobs can be waited for


def keep_settings(
    folder: RunFolder,
    settings: Mapping[str, Any],
    resume: bool,
    *,
    command: str,
    flags: Mapping[str, str],
    contents: Mapping[str, str],
) -> str:
    """Write `settings.json`, or compare it with the settings given.

    Args:
        folder: Folder of the run.
        settings: Values of the flags, by their names without dashes.
        resume: Whether to compare with the file instead of writing it.
        command: Name of the command.
        flags: For settings that are arguments, their names.
        contents: For settings that are checksums, the flag or argument that names the file.

    Returns:
        Fingerprint of the settings, to which the checkpoints of the run are bound.

    Raises:
        UsageError: If the run in the folder has other settings, or belongs to another command or release.
    """
    path = folder.path / "settings.json"
    document = {"schema": SCHEMA, "run": command, "settings": dict(settings)}
    if resume and not path.exists() and any(folder.path.glob("[!.]*")):
        raise _another_command(folder.path)
    if resume and path.exists():
        before = _read(path, command)
        for name, value in settings.items():
            earlier = before.get(name)
            if earlier == value:
                continue
            if name in contents:
                raise UsageError(
                    f"the file that {contents[name]} names has changed since {folder.path} was run; "
                    "restore it, or choose another folder."
                )
            flag = flags.get(name, "--" + name.replace("_", "-"))
            before_it, now = _given(flag, earlier), _given(flag, value)
            if before_it.startswith(f"with {flag} "):
                now = now.removeprefix(f"with {flag} ")
            raise UsageError(
                f"{folder.path} was run {before_it}, not {now}; leave the flag out to resume, or choose "
                "another folder."
            )
    else:
        folder.write_json("settings.json", document)
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def earlier_flags(folder: Path, command: str, names: Collection[str]) -> dict[str, Any]:
    """The flags of the run that is to be resumed, empty if it ended before its settings were written.

    Args:
        folder: Folder of the run.
        command: Name of the command.
        names: Names of its flags, without dashes.

    Raises:
        UsageError: If there is no run in the folder, or it belongs to another command or release.
    """
    RunFolder(folder, resume=True).check()
    path = folder / "settings.json"
    if not path.exists():
        return {}
    return {name: flag_text(value) for name, value in _read(path, command).items() if name in names}


def earlier_command(folder: Path) -> list[str]:
    """The words of the command that a run was begun with, without its flags.

    Args:
        folder: Folder of the run.

    Raises:
        UsageError: If there is no run in the folder, or it cannot be resumed.
    """
    path = folder / "settings.json"
    if not path.exists():
        raise UsageError(f"{folder} holds no run that can be resumed; give the folder of one.")
    document = read_json(path)
    if (
        not isinstance(document, dict)
        or document.get("schema") != SCHEMA
        or document.get("run") not in _ON_DEVICES
    ):
        raise UsageError(
            f"{folder} holds no run on a device; `bondwise run`, `mitigate` and `vqe` make such ones."
        )
    words: list[str] = document["run"].split()
    circuit: str | None = document["settings"].get("circuit")
    if circuit is None:
        return words
    if not is_file(circuit):
        raise UsageError(
            f"{folder} is a run of {circuit}, which is not here; resume it where it was begun, or put the "
            "file back."
        )
    return [*words, f"./{circuit}" if circuit.startswith("-") else circuit]


def _read(path: Path, command: str) -> dict[str, Any]:
    document = read_json(path)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or "run" not in document:
        raise UsageError(
            f"{path} is damaged or from another release of bondwise; start again with --overwrite."
        )
    if document["run"] != command:
        raise _another_command(path.parent)
    settings: dict[str, Any] = document["settings"]
    return settings


def _another_command(folder: Path) -> UsageError:
    return UsageError(
        f"{folder} holds the run of another command, or one without its settings.json; "
        "choose another folder or start again with --overwrite."
    )


def _given(flag: str, value: Any) -> str:
    """How a flag was given."""
    if value is None or value is False or value == []:
        return f"without {flag}"
    return f"with {flag}" if value is True else f"with {flag} {flag_text(value)}"
