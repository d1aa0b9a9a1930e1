"""Settings in Python's own kinds, as JSON takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with Python's numbers, texts and truth values for numpy's."""
    return {
        name: value.item() if isinstance(value, np.generic) else value for name, value in settings.items()
    }
