"""VQE against exact energies, with and without shots, interrupted and resumed."""

import numpy as np
import pytest
from helpers import real_circuit
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from bondwise.qml import VQE, StopTraining, VQEResult, exact_ground_state, heisenberg, ising
from bondwise.runs import UsageError


def energy_of(circuit, parameters, hamiltonian):
    state = Statevector(circuit.assign_parameters(parameters))
    return state.expectation_value(hamiltonian).real


@pytest.mark.parametrize("hamiltonian", [heisenberg(4), ising(4, field=0.7, periodic=True)])
def test_lbfgs_reaches_the_ground_state(hamiltonian):
    circuit = real_circuit(4, 6)
    exact, _ = exact_ground_state(hamiltonian)
    start = np.random.default_rng(3).uniform(-np.pi, np.pi, circuit.num_parameters)
    result = VQE(hamiltonian, circuit, optimizer="lbfgs").run(start, steps=300)
    assert result.value == pytest.approx(exact, abs=1e-7)
    assert energy_of(circuit, result.parameters, hamiltonian) == pytest.approx(result.value, abs=1e-10)
    assert (result.std, result.shots) == (0, 0)


def test_adam_lowers_the_energy_and_never_below_exact():
    hamiltonian, circuit = heisenberg(3), real_circuit(3, 3)
    result = VQE(hamiltonian, circuit, learning_rate=0.1).run(np.full(circuit.num_parameters, 0.3), steps=60)
    assert result.losses[-1] < result.losses[0] - 0.5
    assert result.losses.min() >= -1 - 1e-12
    assert result.losses[0] == pytest.approx(
        energy_of(circuit, np.full(circuit.num_parameters, 0.3), hamiltonian), abs=1e-12
    )


def test_resumed_is_the_same_to_the_last_bit(tmp_path):
    hamiltonian = heisenberg(4)
    start = np.linspace(0, 1, real_circuit(4, 2).num_parameters)

    def stop(step):
        if step.step == 8:
            raise StopTraining

    whole = VQE(hamiltonian, real_circuit(4, 2)).run(start, steps=20)
    VQE(hamiltonian, real_circuit(4, 2)).run(start, steps=20, callbacks=[stop], checkpoint=tmp_path / "c")
    rest = VQE(hamiltonian, real_circuit(4, 2)).run(start, steps=20, checkpoint=tmp_path / "c", resume=True)
    assert rest.losses.tobytes() == whole.losses.tobytes()
    assert rest.last.tobytes() == whole.last.tobytes()


def test_checkpoint_of_another_problem_is_refused(tmp_path):
    start = np.zeros(real_circuit(3, 1).num_parameters)
    VQE(heisenberg(3), real_circuit(3, 1)).run(start, steps=2, checkpoint=tmp_path / "c")
    flipped = QuantumCircuit(3)
    flipped.compose(real_circuit(3, 1), [2, 1, 0], inplace=True)
    for other in [
        VQE(heisenberg(3, coupling=1.1), real_circuit(3, 1)),
        VQE(heisenberg(3), flipped),
        VQE(heisenberg(3), real_circuit(3, 1), optimizer="sgd"),
    ]:
        with pytest.raises(UsageError, match="another run"):
            other.run(start, checkpoint=tmp_path / "c", resume=True)


def test_checkpoint_knows_a_circuit_by_its_gates_whatever_they_are_called(tmp_path):
    """Qiskit numbers blocks without a name, so they are called otherwise in each process."""

    def in_a_block(inner, name=None):
        circuit = QuantumCircuit(inner.num_qubits)
        gate = inner.to_gate()
        gate.name = name or gate.name
        circuit.append(gate, reversed(range(inner.num_qubits)))
        return circuit

    blocks = [in_a_block(in_a_block(real_circuit(3, 1))) for _ in range(2)]
    assert blocks[0].data[0].operation.name != blocks[1].data[0].operation.name
    start, first = np.linspace(0, 1, 6), tmp_path / "first"
    VQE(heisenberg(3), blocks[0]).run(start, steps=2, checkpoint=first)
    again = VQE(heisenberg(3), blocks[1]).run(start, steps=2, checkpoint=first, resume=True)
    assert again.losses.size == 3
    turned = real_circuit(3, 1)
    turned.h(0)
    VQE(heisenberg(3), in_a_block(turned, "block")).run(start, steps=2, checkpoint=tmp_path / "second")
    with pytest.raises(UsageError, match="another run"):
        VQE(heisenberg(3), in_a_block(real_circuit(3, 1), "block")).run(
            start, checkpoint=tmp_path / "second", resume=True
        )


def test_too_large_a_step_is_no_wrong_use():
    start = np.full(4, 0.4)
    result = VQE(heisenberg(2), real_circuit(2, 1), optimizer="adam", learning_rate=1.7e308).run(start)
    assert "the point is not finite at step 1" in result.message
    assert result.parameters.tolist() == start.tolist()


def test_sampled_energies(tmp_path):
    hamiltonian, circuit = ising(2), real_circuit(2, 1)
    start = np.array([0.4, 0.2, -0.3, 0.9])
    vqe = VQE(hamiltonian, circuit, backend="aer", shots=2000, learning_rate=0.1)
    result = vqe.run(start, steps=4, seed=4)
    assert result.std > 0
    assert result.shots > 0
    assert np.array_equal(result.parameters, result.last)
    assert result.value == pytest.approx(energy_of(circuit, result.last, hamiltonian), abs=6 * result.std)
    assert result.losses[0] != energy_of(circuit, start, hamiltonian)
    assert vqe.run(start, steps=4, seed=4).losses.tobytes() == result.losses.tobytes()
    assert vqe.run(start, steps=4, seed=5).losses.tobytes() != result.losses.tobytes()
    vqe.run(start, steps=2, seed=4, checkpoint=tmp_path / "c")
    resumed = vqe.run(start, steps=4, seed=4, checkpoint=tmp_path / "c", resume=True)
    assert resumed.losses.tobytes() == result.losses.tobytes()


def test_stochastic_gradients_move_on_and_repeat():
    vqe = VQE(heisenberg(2), real_circuit(2, 1), gradient="spsa", learning_rate=0.1)
    runs = [vqe.run(np.full(4, 0.4), steps=60, seed=seed) for seed in (1, 1, 2)]
    assert runs[0].losses.tobytes() == runs[1].losses.tobytes() != runs[2].losses.tobytes()
    assert all(run.value < -0.7 for run in runs)
    assert runs[0].std == 0


def test_wrong_use():
    circuit = real_circuit(3, 1)
    with pytest.raises(UsageError, match="Hamiltonian acts on 4 qubits and the circuit has 3"):
        VQE(heisenberg(4), circuit)
    with pytest.raises(UsageError, match="not Hermitian"):
        VQE(SparsePauliOp(["XXI"], [1j]), circuit)
    with pytest.raises(UsageError, match="no parameters to train"):
        VQE(heisenberg(3), QuantumCircuit(3))
    with pytest.raises(UsageError, match=r"has 6 parameters; the angles given are of shape \(5,\)"):
        VQE(heisenberg(3), circuit).run(np.zeros(5))
    with pytest.raises(UsageError, match="unknown optimizer"):
        VQE(heisenberg(3), circuit, optimizer="adan")
    with pytest.raises(UsageError, match="learning_rate is 0"):
        VQE(heisenberg(3), circuit, learning_rate=0)


def test_result_comes_back_and_plots(tmp_path):
    circuit = real_circuit(2, 1)
    result = VQE(heisenberg(2), circuit).run(np.ones(4), steps=3)
    result.save(tmp_path / "r")
    assert VQEResult.load(tmp_path / "r").losses.tobytes() == result.losses.tobytes()
    assert str(result).startswith("VQEResult: ")
    assert "measurement" not in str(result)
    sampled = VQE(heisenberg(2), circuit, shots=50).run(np.ones(4), steps=1, seed=1)
    assert str(sampled).endswith("150 shots, seed 1 (the last measurement)")
    axes = result.plot()
    assert axes.lines[0].get_ydata() == pytest.approx(result.losses)
    assert axes.get_ylabel() == "energy"
