"""Random circuits of PennyLane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pennylane as qml

LABELS = [3, "a", 0, "b"]  # neither numbered nor in order
GATES = (
    [(gate, 1, 1) for gate in (qml.RX, qml.RY, qml.RZ, qml.PhaseShift, qml.U1)]
    + [(qml.Rot, 3, 1), (qml.U2, 2, 1), (qml.U3, 3, 1), (qml.CRot, 3, 2), (qml.PSWAP, 1, 2)]
    + [(gate, 1, 2) for gate in (qml.CRX, qml.CRY, qml.CRZ, qml.IsingXX, qml.IsingYY, qml.IsingZZ)]
    + [(gate, 1, 2) for gate in (qml.IsingXY, qml.ControlledPhaseShift, qml.SingleExcitation)]
    + [(gate, 0, 1) for gate in (qml.Hadamard, qml.X, qml.Y, qml.Z, qml.S, qml.T, qml.SX)]
    + [(gate, 0, 2) for gate in (qml.CNOT, qml.CY, qml.CZ, qml.CH, qml.SWAP, qml.ISWAP, qml.ECR)]
    + [(gate, 0, 3) for gate in (qml.Toffoli, qml.CSWAP, qml.CCZ)]
    + [(qml.DoubleExcitation, 1, 4), (qml.MultiRZ, 1, 3)]
)


def random_gates(
    rng: np.random.Generator, wires: Sequence[Any], count: int = 12, batch: tuple = ()
) -> list[Any]:
    """Gates of every kind; some are adjoints, powers, controlled or matrices."""
    found: list[Any] = []
    for _ in range(count):
        kind, angles, size = GATES[rng.integers(len(GATES))]
        where = [wires[at] for at in rng.permutation(len(wires))[:size]]
        gate = kind(*rng.uniform(-4, 4, (angles, *batch)), wires=where) if angles else kind(wires=where)
        turn = rng.integers(8)
        if turn == 0 and not batch:
            gate = qml.adjoint(gate)
        elif turn == 1 and not batch and size < len(wires):
            [control, *_] = [wire for wire in wires if wire not in where]
            gate = qml.ctrl(gate, control, control_values=[int(rng.integers(2))])
        elif turn == 2 and not batch:
            gate = qml.pow(gate, 2)
        found.append(gate)
    word = "".join(rng.choice(list("XYZ"), 2))
    found.append(qml.PauliRot(rng.uniform(-4, 4, batch or None), word, wires=list(wires[1:3])))
    found.append(qml.QubitUnitary(qml.matrix(qml.Rot(*rng.normal(size=3), 0)), wires[-1]))
    return found


def assert_same(found: Any, wanted: Any, atol: float = 1e-10) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, atol=atol)
