"""Jacobians of tapes by the adjoint method, on backends that hold the exact state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bondwise.backends.backend import Backend
from bondwise.backends.pennylane.structures import Compiler, Lifter, data_of_angles, qubits_of
from bondwise.backends.pennylane.values import are_pauli_values, pauli_sum
from bondwise.circuits.splitting import split


def has_adjoint(tape: Any, backend: Backend) -> bool:
    """Whether `adjoint_jacobian` takes a tape: exact values of Pauli sums, whose gates alone are trained."""
    if tape.shots or not backend.differentiable or not are_pauli_values(tape):
        return False
    sources = {source for source in data_of_angles(tape) if source is not None}
    return all(_source(tape, index) in sources for index in tape.trainable_params)


def adjoint_jacobian(tape: Any, device: Any, backend: Backend, compiler: Compiler) -> Any:
    """The Jacobian of a tape in PennyLane's form, from one sweep back through the circuit per measurement.

    Args:
        tape: A tape that `has_adjoint` accepts.
        device: The wires of the device, or None.
        backend: Where it runs.
        compiler: The circuits.
    """
    place = qubits_of(tape, device, backend)
    lifted = Lifter().lift(tape, place)
    count = lifted.structure.num_qubits
    operators = [pauli_sum(one.obs, place, count) for one in tape.measurements]
    parts = split(compiler.get(lifted.structure).circuit)
    angles = torch.tensor(lifted.angles, requires_grad=True)
    assert backend.values is not None  # as `has_adjoint` has checked
    with torch.enable_grad():  # PennyLane may ask inside of torch's own backward pass
        totals = backend.values(parts, parts.angles(angles), operators, "adjoint").sum(dim=0).unbind()
    columns: dict[tuple[int, int], list[int]] = {}
    for number, source in enumerate(data_of_angles(tape)):
        if source is not None:
            columns.setdefault(source, []).append(number)
    rows = []
    for total in totals:
        [slopes] = torch.autograd.grad(total, angles, retain_graph=True)
        row = []
        for trained in tape.trainable_params:
            each = slopes.numpy()[:, columns[_source(tape, trained)]].sum(axis=1)
            row.append(np.asarray(each if tape.batch_size is not None else each[0]))
        rows.append(row[0] if len(row) == 1 else tuple(row))
    return rows[0] if len(rows) == 1 else tuple(rows)


def _source(tape: Any, index: int) -> tuple[int, int]:
    info = tape.par_info[index]
    return info["op_idx"], info["p_idx"]
