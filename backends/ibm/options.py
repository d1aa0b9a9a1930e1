"""Options in the names of backends, such as `ibm:ibm_torino,resilience=2` or `fake:torino,resilience=1`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bondwise.runs import UsageError

MODES = ("batch", "job", "session")
RESILIENCE = ("1", "2")
AMPLIFIERS = ("gate_folding", "pea")
KNOWN = {"resilience": RESILIENCE, "amplifier": AMPLIFIERS, "mode": MODES, "account": ()}


class UnsupportedOption(UsageError):
    """An option that does not exist, or has no effect where it is asked for.

    Example:
        >>> from bondwise.backends import UnsupportedOption, get_backend
        >>> get_backend("fake:torino,mode=session")
        Traceback (most recent call last):
        bondwise.backends.ibm.options.UnsupportedOption: 'mode' has no effect in 'fake:torino,mode=session'; \
leave it out.
    """


@dataclass(frozen=True)
class Wanted:
    """What a name asks for.

    Attributes:
        name: The whole name, as it was given.
        device: Name of the device, or `least_busy`.
        min_qubits: Fewest qubits of the least busy device.
        options: The options, `resilience`, `amplifier`, `mode` and `account`.
    """

    name: str
    device: str
    min_qubits: int | None
    options: Mapping[str, str]

    @property
    def resilience(self) -> int | None:
        """The level of IBM's mitigation, None without."""
        return int(self.options["resilience"]) if "resilience" in self.options else None

    @property
    def amplifier(self) -> str:
        """How level 2 of IBM's mitigation amplifies noise."""
        return self.options.get("amplifier", AMPLIFIERS[0])


def wanted(name: str, *, effective: Collection[str] = tuple(KNOWN)) -> Wanted:
    """Read the name of a backend with options.

    Args:
        name: Such as `ibm:least_busy:20,mode=job`.
        effective: The options that have an effect here.

    Raises:
        UnsupportedOption: If an option is unknown, has no effect, or has another value than those that exist.
        UsageError: If the smallest number of qubits is not a positive whole number.
    """
    device, *pairs = name.partition(":")[2].split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if key not in KNOWN or not equals or not value:
            raise UnsupportedOption(
                f"{pair.strip()!r} is not an option of {name!r}; there are resilience=1|2, "
                f"amplifier={'|'.join(AMPLIFIERS)}, mode=batch|job|session and account=NAME."
            )
        if key not in effective:
            raise UnsupportedOption(f"{key!r} has no effect in {name!r}; leave it out.")
        if key in options:
            raise UnsupportedOption(f"{key!r} is given twice in {name!r}; give it once.")
        if KNOWN[key] and value not in KNOWN[key]:
            raise UnsupportedOption(f"{key}={value} in {name!r} does not exist; give {'|'.join(KNOWN[key])}.")
        options[key] = value
    if "amplifier" in options and options.get("resilience") != "2":
        raise UnsupportedOption(
            f"'amplifier' has no effect in {name!r} without resilience=2; add that, or leave it out."
        )
    device, colon, fewest = device.strip().partition(":")
    if (
        not device
        or colon
        and (device != "least_busy" or not fewest.isascii() or not fewest.isdecimal() or int(fewest) < 1)
    ):
        raise UsageError(
            f"{name!r} is not the name of a device; write ibm:least_busy:20 for 20 qubits or more."
        )
    return Wanted(name, device, int(fewest) if colon else None, options)
