"""Gates that Qiskit and PennyLane have in common, with the same angles and the same order of qubits."""

from __future__ import annotations

import pennylane as qml
from qiskit.circuit import library as gates

ROTATIONS: dict[type, type] = {
    gates.RXGate: qml.RX,
    gates.RYGate: qml.RY,
    gates.RZGate: qml.RZ,
    gates.PhaseGate: qml.PhaseShift,
    gates.RXXGate: qml.IsingXX,
    gates.RYYGate: qml.IsingYY,
    gates.RZZGate: qml.IsingZZ,
    gates.CPhaseGate: qml.ControlledPhaseShift,
    gates.CRXGate: qml.CRX,
    gates.CRYGate: qml.CRY,
    gates.CRZGate: qml.CRZ,
}
FIXED: dict[type, type] = {
    gates.IGate: qml.Identity,
    gates.XGate: qml.PauliX,
    gates.YGate: qml.PauliY,
    gates.ZGate: qml.PauliZ,
    gates.HGate: qml.Hadamard,
    gates.SGate: qml.S,
    gates.TGate: qml.T,
    gates.SXGate: qml.SX,
    gates.CXGate: qml.CNOT,
    gates.CYGate: qml.CY,
    gates.CZGate: qml.CZ,
    gates.CHGate: qml.CH,
    gates.SwapGate: qml.SWAP,
    gates.iSwapGate: qml.ISWAP,
    gates.ECRGate: qml.ECR,
    gates.CCXGate: qml.Toffoli,
    gates.CCZGate: qml.CCZ,
    gates.CSwapGate: qml.CSWAP,
}
