"""How the commands read flags and speak of them: flags of an earlier run, and messages that name flags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from bondwise.cli.documents.settings import earlier_flags
from bondwise.runs import RunError, UsageError


class Group(TyperGroup):
    """A command that has commands."""

    def get_params(self, ctx: Any) -> Any:
        """The arguments and flags."""
        return _flags_without_type(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first words name, which may be two, as `compress profile` is."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.commands:
            return both, self.commands[both], args[2:]
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """A command. Resuming, it takes the flags that are not given from the earlier run."""

    def get_params(self, ctx: Any) -> Any:
        """The arguments and flags."""
        return _flags_without_type(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Read the flags, and those of the earlier run if one is resumed."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        if ctx.params.get("resume") and not ctx.resilient_parsing:
            with self._naming_flags():
                ctx.default_map = earlier_flags(_folder(ctx.params), ctx.info_name, ctx.params)
            rest = super().parse_args(ctx, given)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors name its flags."""
        with self._naming_flags():
            return super().invoke(ctx)

    @contextmanager
    def _naming_flags(self) -> Iterator[None]:
        try:
            yield
        except (UsageError, RunError) as error:
            names = {param.name: param.opts[0] for param in self.params if param.opts[0].startswith("--")}
            raise type(error)(in_flags(str(error), names)) from error


def _folder(params: dict[str, Any]) -> Path:
    """The folder of the run, which `bondwise run` names after the circuit if none is given."""
    return Path(params["out"] or Path("runs") / Path(params["circuit"]).stem)


def in_flags(message: str, flags: dict[str, str]) -> str:
    """A message about arguments of a function in terms of the flags of a command.

    Arguments are recognized if they are the first word of the message, have an underscore, or are written
    with an equals sign, as in `seed=1`. Quoted text stays as it is, and dictionaries are written as
    flags take them.

    Args:
        message: The message.
        flags: Flag of each argument.
    """
    parts = re.split(r"('[^']*'|\"[^\"]*\")", message)
    for name, flag in flags.items():
        parts[0] = re.sub(rf"^{name}(?= is | ?$)", flag, parts[0])
        for place in range(0, len(parts), 2):
            end = r"[\s,;.)]|$" if place == len(parts) - 1 else r"[\s,;.)]"  # a quoted value may follow
            text = re.sub(rf"(?<![\w.-]){name}=(?:True\b)?(?={end})", flag, parts[place])
            text = re.sub(rf"(?<![\w.-]){name}=", f"{flag} ", text)
            parts[place] = re.sub(rf"(?<![\w./-]){name}(?![\w/-]|\.\w)", flag, text) if "_" in name else text
    return re.sub(r"(--[\w-]+ )\{([^{}]*)\}", _listed, "".join(parts))


def _listed(found: re.Match[str]) -> str:
    """A dictionary after a flag, as it is written there."""
    return found[1] + found[2].replace("'", "").replace(": ", "=").replace(", ", ",")


def _flags_without_type(params: Iterable[Any]) -> list[Any]:
    """The parameters of a command; flags without a value are shown without a type."""
    params = list(params)
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params
