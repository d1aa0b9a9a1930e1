"""The settings of a run, kept in its folder: a run can only be resumed with the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from bondwise.cli.documents.envelope import SCHEMA
from bondwise.runs import RunFolder, UsageError, read_json


def keep_settings(
    folder: RunFolder, settings: Mapping[str, Any], resume: bool, *, flags: Mapping[str, str]
) -> str:
    """Write `settings.json`, or compare it with the settings given.

    Args:
        folder: Folder of the run.
        settings: Values of the flags, by their names without dashes.
        resume: Whether to compare with the file instead of writing it.
        flags: For settings that are not flags themselves, the flag or argument they come from.

    Returns:
        Fingerprint of the settings, to which the checkpoints of the run are bound.

    Raises:
        UsageError: If the run in the folder has other settings, or belongs to another command or release.
    """
    path = folder.path / "settings.json"
    document = {"schema": SCHEMA, "settings": dict(settings)}
    if resume and not path.exists() and any(folder.path.glob("[!.]*")):
        raise UsageError(
            f"{folder.path} holds the run of another command, or one without its settings.json; "
            "choose another folder or start again with --overwrite."
        )
    if resume and path.exists():
        before = read_json(path)
        if not isinstance(before, dict) or before.get("schema") != SCHEMA:
            raise UsageError(
                f"{path} is damaged or from another release of bondwise; start again with --overwrite."
            )
        for name, value in settings.items():
            earlier = before["settings"].get(name)
            if earlier != value:
                flag = flags.get(name, "--" + name.replace("_", "-"))
                raise UsageError(
                    f"{folder.path} was run with {flag} {earlier}, not {value}; "
                    "resume with the same flags or choose another folder."
                )
    else:
        folder.write_json("settings.json", document)
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
