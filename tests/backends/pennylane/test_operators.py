"""PennyLane's operators as Qiskit's gates: the same matrices, with free angles too, and under controls."""

import numpy as np
import pennylane as qml
import pytest
from qiskit.quantum_info import Operator

from bondwise.backends import from_pennylane
from bondwise.runs import UsageError

RNG = np.random.default_rng(0)
UNITARY = np.linalg.qr(RNG.normal(size=(8, 8)) + 1j * RNG.normal(size=(8, 8)))[0]
ORTHOGONAL = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
WORDS = qml.dot([0.3, -0.7, 0.4], [qml.X(0) @ qml.X(1), qml.Z(0) @ qml.Z(1), qml.I(0)])
MIXED = qml.dot([0.3, -0.7], [qml.X(0) @ qml.X(1), qml.Z(0)])


def block(weights, wires):
    qml.RY(weights[0], wires[0])
    qml.CRX(weights[1], wires)


# shape of the angles, and the operators as a function of them
FREE = {
    "RX": ((1,), lambda x: qml.RX(x[0], 1)),
    "RY": ((1,), lambda x: qml.RY(x[0], 0)),
    "RZ": ((1,), lambda x: qml.RZ(x[0], 2)),
    "PhaseShift": ((1,), lambda x: qml.PhaseShift(x[0], 0)),
    "U1": ((1,), lambda x: qml.U1(x[0], 0)),
    "U2": ((2,), lambda x: qml.U2(*x, 1)),
    "U3": ((3,), lambda x: qml.U3(*x, 1)),
    "Rot": ((3,), lambda x: qml.Rot(*x, 1)),
    "CRot": ((3,), lambda x: qml.CRot(*x, [2, 0])),
    "CRX": ((1,), lambda x: qml.CRX(x[0], [1, 0])),
    "CRY": ((1,), lambda x: qml.CRY(x[0], [1, 2])),
    "CRZ": ((1,), lambda x: qml.CRZ(x[0], [2, 0])),
    "ControlledPhaseShift": ((1,), lambda x: qml.ControlledPhaseShift(x[0], [2, 0])),
    "CPhaseShift00": ((1,), lambda x: qml.CPhaseShift00(x[0], [2, 0])),
    "CPhaseShift01": ((1,), lambda x: qml.CPhaseShift01(x[0], [2, 0])),
    "CPhaseShift10": ((1,), lambda x: qml.CPhaseShift10(x[0], [2, 0])),
    "IsingXX": ((1,), lambda x: qml.IsingXX(x[0], [2, 0])),
    "IsingYY": ((1,), lambda x: qml.IsingYY(x[0], [2, 0])),
    "IsingZZ": ((1,), lambda x: qml.IsingZZ(x[0], [2, 0])),
    "IsingXY": ((1,), lambda x: qml.IsingXY(x[0], [2, 0])),
    "PSWAP": ((1,), lambda x: qml.PSWAP(x[0], [2, 0])),
    "MultiRZ": ((1,), lambda x: qml.MultiRZ(x[0], [2, 0, 1])),
    "PauliRot": ((1,), lambda x: qml.PauliRot(x[0], "XYZ", [2, 0, 1])),
    "PauliRot of I": ((1,), lambda x: qml.PauliRot(x[0], "II", [2, 0])),
    "GlobalPhase": ((1,), lambda x: qml.GlobalPhase(x[0])),
    "PCPhase": ((1,), lambda x: qml.PCPhase(x[0], dim=3, wires=[0, 1])),
    "SingleExcitation": ((1,), lambda x: qml.SingleExcitation(x[0], [2, 0])),
    "SingleExcitationPlus": ((1,), lambda x: qml.SingleExcitationPlus(x[0], [2, 0])),
    "SingleExcitationMinus": ((1,), lambda x: qml.SingleExcitationMinus(x[0], [2, 0])),
    "DoubleExcitation": ((1,), lambda x: qml.DoubleExcitation(x[0], [3, 0, 1, 2])),
    "OrbitalRotation": ((1,), lambda x: qml.OrbitalRotation(x[0], [3, 0, 1, 2])),
    "FermionicSWAP": ((1,), lambda x: qml.FermionicSWAP(x[0], [2, 0])),
    "FermionicSingleExcitation": ((1,), lambda x: qml.FermionicSingleExcitation(x[0], [0, 1, 2])),
    "FermionicDoubleExcitation": (
        (1,),
        lambda x: qml.FermionicDoubleExcitation(x[0], wires1=[0, 1], wires2=[2, 3]),
    ),
    "adjoint": ((3,), lambda x: qml.adjoint(qml.Rot(*x, 0))),
    "pow": ((1,), lambda x: qml.pow(qml.IsingXY(x[0], [0, 1]), 3)),
    "pow -2": ((1,), lambda x: qml.pow(qml.RX(x[0], 1), -2)),
    "pow 0.5": ((1,), lambda x: qml.pow(qml.RX(x[0], 1), 0.5)),
    "prod": ((2,), lambda x: qml.prod(qml.RX(x[0], 1), qml.RY(x[1], 1), qml.S(0))),
    "ctrl": ((1,), lambda x: qml.ctrl(qml.RX(x[0], 0), [3, 1], control_values=[0, 1])),
    "ctrl of phase": ((1,), lambda x: qml.ctrl(qml.GlobalPhase(x[0]), [3, 1], control_values=[1, 0])),
    "ctrl of IsingXX": ((1,), lambda x: qml.ctrl(qml.IsingXX(x[0], [0, 2]), 1)),
    "ctrl of adjoint": ((3,), lambda x: qml.ctrl(qml.adjoint(qml.Rot(*x, 0)), [2])),
    "exp": ((1,), lambda x: qml.exp(qml.X(0) @ qml.Z(2), 1j * x[0])),
    "exp of a sum": ((1,), lambda x: qml.exp(WORDS, -0.5j * x[0])),
    "evolve": ((1,), lambda x: qml.evolve(qml.X(0) @ qml.Y(2), 2 * x[0])),
    "evolve of a sum": ((1,), lambda x: qml.evolve(WORDS, x[0])),
    "ApproxTimeEvolution": ((1,), lambda x: qml.ApproxTimeEvolution(MIXED, x[0], 2)),
    "TrotterProduct": ((1,), lambda x: qml.TrotterProduct(MIXED, x[0], n=2, order=2)),
    "ControlledSequence": ((1,), lambda x: qml.ControlledSequence(qml.RX(x[0], 3), control=[0, 1])),
    "AngleEmbedding": ((3,), lambda x: qml.AngleEmbedding(x, range(3), rotation="Y")),
    "IQPEmbedding": ((3,), lambda x: qml.IQPEmbedding(x, range(3), n_repeats=2)),
    "QAOAEmbedding": ((2, 6), lambda x: qml.QAOAEmbedding([0.1, 0.2, 0.3], x, range(3))),
    "StronglyEntanglingLayers": ((2, 3, 3), lambda x: qml.StronglyEntanglingLayers(x, range(3))),
    "BasicEntanglerLayers": ((2, 3), lambda x: qml.BasicEntanglerLayers(x, range(3), rotation=qml.RZ)),
    "RandomLayers": ((2, 4), lambda x: qml.RandomLayers(x, range(3), seed=1)),
    "SimplifiedTwoDesign": (
        (2, 2, 2),
        lambda x: qml.SimplifiedTwoDesign(np.array([0.1, 0.2, 0.3]), x, range(3)),
    ),
    "MPS": ((3, 2), lambda x: qml.MPS(range(4), 2, lambda weights, wires: block(weights, wires), 2, x)),
    "TTN": ((3, 2), lambda x: qml.TTN(range(4), 2, lambda weights, wires: block(weights, wires), 2, x)),
    "MERA": ((5, 2), lambda x: qml.MERA(range(4), 2, lambda weights, wires: block(weights, wires), 2, x)),
    "GateFabric": ((1, 1, 2), lambda x: qml.GateFabric(x, range(4), np.array([1, 1, 0, 0]))),
    "ParticleConservingU1": ((1, 2, 2), lambda x: qml.ParticleConservingU1(x, range(3), np.array([1, 0, 0]))),
    "ParticleConservingU2": ((1, 5), lambda x: qml.ParticleConservingU2(x, range(3), np.array([1, 0, 0]))),
    "AllSinglesDoubles": (
        (3,),
        lambda x: qml.AllSinglesDoubles(
            x, range(4), np.array([1, 1, 0, 0]), singles=[[0, 2], [1, 3]], doubles=[[0, 1, 2, 3]]
        ),
    ),
    "UCCSD": (
        (1,),
        lambda x: qml.UCCSD(
            x, range(4), s_wires=[], d_wires=[[[0, 1], [2, 3]]], init_state=np.array([1, 1, 0, 0])
        ),
    ),
}
FIXED = {
    "I": lambda: qml.I(0),
    "X": lambda: qml.X(0),
    "Y": lambda: qml.Y(0),
    "Z": lambda: qml.Z(0),
    "H": lambda: qml.Hadamard(1),
    "S": lambda: qml.S(1),
    "T": lambda: qml.T(1),
    "SX": lambda: qml.SX(1),
    "adjoint of T": lambda: qml.adjoint(qml.T(1)),
    "CNOT": lambda: qml.CNOT([2, 0]),
    "CY": lambda: qml.CY([2, 0]),
    "CZ": lambda: qml.CZ([2, 0]),
    "CH": lambda: qml.CH([2, 0]),
    "SWAP": lambda: qml.SWAP([2, 0]),
    "ISWAP": lambda: qml.ISWAP([2, 0]),
    "SISWAP": lambda: qml.SISWAP([2, 0]),
    "ECR": lambda: qml.ECR([2, 0]),
    "Toffoli": lambda: qml.Toffoli([2, 0, 1]),
    "CCZ": lambda: qml.CCZ([2, 0, 1]),
    "CSWAP": lambda: qml.CSWAP([2, 0, 1]),
    "MultiControlledX": lambda: qml.MultiControlledX([2, 0, 3, 1], control_values=[1, 0, 0]),
    "QubitUnitary": lambda: qml.QubitUnitary(UNITARY, [2, 0, 1]),
    "ControlledQubitUnitary": lambda: qml.ControlledQubitUnitary(UNITARY, [3, 2, 0, 1], control_values=[0]),
    "DiagonalQubitUnitary": lambda: qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), [2, 0]),
    "SpecialUnitary": lambda: qml.SpecialUnitary(np.linspace(0.1, 0.5, 15), [2, 0]),
    "BlockEncode": lambda: qml.BlockEncode([[0.1, 0.2], [0.3, 0.4]], wires=[0, 1]),
    "QFT": lambda: qml.QFT([2, 0, 1]),
    "adjoint of QFT": lambda: qml.adjoint(qml.QFT)([2, 0, 1]),
    "GroverOperator": lambda: qml.GroverOperator([2, 0, 1]),
    "Permute": lambda: qml.Permute([2, 0, 1], [0, 1, 2]),
    "BasisRotation": lambda: qml.BasisRotation(range(3), ORTHOGONAL),
    "QuantumPhaseEstimation": lambda: qml.QuantumPhaseEstimation(
        UNITARY[:2, :2] * 0 + np.diag([1, 1j]), [0], [1, 2]
    ),
    "exp of a sum that does not commute": lambda: qml.exp(MIXED, -0.5j),
    "evolve with a product formula": lambda: qml.evolve(qml.X(0) @ qml.Z(1), 0.7),
    "FlipSign": lambda: qml.FlipSign([1, 0, 1], [2, 0, 1]),
    "pow of H": lambda: qml.pow(qml.Hadamard(0), 0.5),
    "DoubleExcitationPlus": lambda: qml.DoubleExcitationPlus(0.3, [3, 0, 1, 2]),
    "DoubleExcitationMinus": lambda: qml.DoubleExcitationMinus(0.3, [3, 0, 1, 2]),
    "IntegerComparator": lambda: qml.IntegerComparator(2, geq=True, wires=[0, 1, 2]),
    "QubitCarry": lambda: qml.QubitCarry([3, 0, 1, 2]),
    "Select": lambda: qml.Select([qml.X(0), qml.Y(0), qml.Z(0), qml.S(0)], control=[2, 1]),
    "Reflection": lambda: qml.Reflection(qml.Hadamard(0), 0.3),
    "nested": lambda: qml.ctrl(qml.adjoint(qml.ctrl(qml.QFT([0, 1]), 2)), 3, control_values=[0]),
}


def assert_same_matrix(function, *arguments):
    converted = from_pennylane(function, *arguments)
    wires = list(range(converted.circuit.num_qubits))[::-1]
    expected = qml.matrix(function, wire_order=wires)(*arguments)
    bound = converted.circuit.assign_parameters(converted.parameters)
    np.testing.assert_allclose(Operator(bound).data, expected, atol=1e-12)
    return converted


@pytest.mark.parametrize("name", FREE)
def test_operators_with_free_angles(name):
    shape, function = FREE[name]
    values = np.random.default_rng(1).uniform(-3, 3, shape)
    converted = assert_same_matrix(function, values)
    assert converted.circuit.num_parameters == values.size
    np.testing.assert_array_equal(converted.parameters, values.ravel())


@pytest.mark.parametrize("name", FIXED)
def test_operators_without_angles(name):
    assert_same_matrix(FIXED[name])


@pytest.mark.parametrize(
    "name", ["PSWAP", "IsingXY", "DoubleExcitation", "PauliRot", "U3", "SingleExcitation"]
)
def test_controlled_operators_keep_their_phases(name):
    shape, function = FREE[name]
    values = np.random.default_rng(2).uniform(-3, 3, shape)
    assert_same_matrix(lambda x: qml.ctrl(function, control=[5, 4], control_values=[1, 0])(x), values)


@pytest.mark.parametrize(
    "function",
    [
        lambda: qml.AmplitudeEmbedding([0.5, 0.1j, -0.3, 0.2], [1, 0], normalize=True),
        lambda: qml.StatePrep(UNITARY[0], [2, 0, 1]),
        lambda: qml.BasisState([1, 0, 1], [2, 0, 1]),
        lambda: qml.MottonenStatePreparation(UNITARY[0], [2, 0, 1]),
        lambda: qml.BasisEmbedding(6, [2, 0, 1]),
    ],
)
def test_prepared_states(function):
    @qml.qnode(qml.device("default.qubit"))
    def state():
        function()
        return qml.state()

    circuit = from_pennylane(state).circuit
    expected = np.reshape(state(), [2] * circuit.num_qubits).transpose().ravel()
    np.testing.assert_allclose(Operator(circuit).data[:, 0], expected, atol=1e-12)


def measured():
    qml.Hadamard(0)
    qml.measure(0)
    return qml.expval(qml.Z(0))


def conditioned():
    qml.cond(qml.measure(0), qml.X)(1)
    return qml.expval(qml.Z(1))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (measured, (), r"mid-circuit measurement; pass qml\.defer_measurements"),
        (conditioned, (), r"mid-circuit measurement; pass qml\.defer_measurements"),
        (lambda: qml.DepolarizingChannel(0.1, 0), (), "DepolarizingChannel on wires"),
        (lambda: qml.TRX(0.1, 0), (), "not .*on qubits"),
        (lambda x: qml.RX(x, 0), (np.ones(3),), "a batch of circuits; pass one set"),
        (lambda x: qml.SpecialUnitary(x, 0), (np.ones(3),), "SpecialUnitary on wires .0. has .* by keyword"),
        (
            lambda x: qml.AmplitudeEmbedding(x, range(2)),
            (np.ones(4) / 2,),
            "by keyword or with requires_grad",
        ),
        (lambda x: qml.RX(x if x > 0 else 0.0, 0), (0.3,), "by keyword or with requires_grad=False"),
        (lambda x: qml.RX(1j * x, 0), (0.3,), "complex"),
        (lambda x: qml.DoubleExcitationPlus(x, range(4)), (0.3,), "which its decomposition cannot keep"),
        (lambda: qml.exp(qml.X(0), 0.3), (), "not unitary"),
    ],
)
def test_what_is_refused(function, arguments, message):
    with pytest.raises(UsageError, match=message) as refusal:
        from_pennylane(function, *arguments)
    assert "\n" not in str(refusal.value)
