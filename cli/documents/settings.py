"""What a run was asked for, kept in its folder: a resumed run must be asked for the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

from bondwise.runs import RunFolder, UsageError, read_json


def keep_settings(
    folder: RunFolder, settings: dict[str, str], resume: bool, *, flags: Mapping[str, str] | None = None
) -> str:
    """Write `settings.json`, or compare with it.

    Args:
        folder: Of the run.
        settings: Flag, without dashes, → what was given.
        resume: Compare with what is there; else write.
        flags: Names of those settings that are not flags themselves → the flag or argument behind them.

    Returns:
        Fingerprint of the settings, to which all that the run keeps for a resumption is bound.

    Raises:
        UsageError: The run in the folder was asked for something else, or is one of another command.
    """
    path = folder.path / "settings.json"
    if resume and not path.exists() and any(folder.path.glob("[!.]*")):
        raise UsageError(
            f"{folder.path} holds the run of another command, or one without its settings.json; "
            "choose another folder or start again with --overwrite."
        )
    if resume and path.exists():
        try:
            before = dict(read_json(path))
        except (ValueError, TypeError):
            raise UsageError(f"{path} is damaged; start again with --overwrite.") from None
        for key, value in settings.items():
            if before.get(key) != value:
                flag = (flags or {}).get(key, "--" + key.replace("_", "-"))
                raise UsageError(
                    f"{folder.path} was run with {flag} {before.get(key)}, not {value}; "
                    "resume with the same flags or choose another folder."
                )
    else:
        folder.write_json("settings.json", settings)
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
