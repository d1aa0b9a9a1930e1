"""What every training of a circuit begins with: its angles, and where random numbers and jobs belong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bondwise.backends import Backend
from bondwise.circuits.files.named_angles import named_angles
from bondwise.circuits.files.orders import AngleOrder
from bondwise.runs import UsageError
from bondwise.runs.files import kept_id
from bondwise.runs.text import counted


def given_angles(parameters: Any, order: AngleOrder) -> Any:
    """Angles of a circuit, (P,) or by name, as an array-like (P,); UsageError for another shape."""
    if isinstance(parameters, Mapping):
        parameters = named_angles(parameters, order.parameters)
    if np.shape(parameters) != (order.count,):
        raise UsageError(
            f"the circuit has {counted(order.count, 'parameter')}; the angles given are of shape "
            f"{np.shape(parameters)}, so give an array of shape ({order.count},)."
        )
    return parameters


def drawn_from(
    backend: Backend, seed: int | None, checkpoint: str | os.PathLike[str] | None, resume: bool
) -> tuple[Backend, torch.Generator]:
    """The backend as the run uses it, and the generator that it draws from.

    On a device with a checkpoint, jobs are recorded under the name of the run, which is on the disk, beside
    the checkpoint, before the first of them.
    """
    generator = torch.Generator()
    generator.manual_seed(seed) if seed is not None else generator.seed()
    if checkpoint is not None and backend.remote:
        path = Path(checkpoint)
        path = path.with_name(path.name + ".run-id")
        if not resume:
            path.unlink(missing_ok=True)
        run_id = kept_id(path)
        backend = backend.for_run(run_id)
        if seed is None:  # killed before its first checkpoint, the run draws the same again
            generator.manual_seed(int(run_id, 16) % 2**63)
    return backend, generator
