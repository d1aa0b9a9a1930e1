"""What get_backend accepts, and its errors for everything else."""

import re
import socket

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2, StatevectorEstimator, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from bondwise.backends import Backend, estimate, get_backend, list_backends, sample
from bondwise.runs import UsageError

GHZ = QuantumCircuit(3)
GHZ.h(0)
GHZ.cx(0, 1)
GHZ.cx(1, 2)
OPERATORS = [SparsePauliOp("IZZ"), SparsePauliOp("XXX"), SparsePauliOp("ZII")]


@pytest.mark.parametrize(
    ("name", "exact", "noisy"),
    [
        ("statevector", True, False),
        ("aer", True, False),
        ("aer:matrix_product_state", True, False),
        ("aer:depolarizing=0", True, False),
        ("aer:depolarizing=0.01", True, True),
        ("aer:density_matrix,depolarizing=0.01", True, True),
        ("aer:matrix_product_state,depolarizing=0.01", False, True),
        ("aer:depolarizing=0.01,matrix_product_state", False, True),
        ("fake:manila", True, True),
    ],
)
def test_names(name: str, exact: bool, noisy: bool) -> None:
    place = get_backend(name)
    assert (place.name, place.exact, place.noisy) == (name, exact, noisy)
    assert get_backend(place) is place
    assert get_backend(name) is place


@pytest.mark.parametrize("name", ["fake:Manila", "fake:FakeManilaV2", "fake:fake_manila", "fake:manila"])
def test_device_names_come_in_all_spellings(name: str) -> None:
    assert get_backend(name).name == "fake:manila"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("statevectr", "Did you mean 'statevector'"),
        ("IBM:ibm_manila", "Did you mean 'ibm:ibm_manila'"),
        ("IBM:IBM_Manila,account=Work", "Did you mean 'ibm:ibm_manila,account=Work'"),
        ("fake:torinno", "Did you mean 'fake:torino'"),
        ("fake:foo", "^unknown device 'fake:foo'. Known: .* `bondwise backends` lists all.$"),
        ("fake:", "unknown backend"),
        ("aer:matrix_product_stat", "Did you mean 'matrix_product_state'"),
        ("aer:depolarising=0.1", "Did you mean 'depolarizing=0.01'"),
        ("aer:depolarizing=1.5", "from 0 to 1"),
        ("aer:depolarizing=much", "from 0 to 1"),
        ("aer:depolarizing=nan", "from 0 to 1"),
        ("", "unknown backend"),
        (7, "a backend cannot be made of an int"),
        (None, "made of None"),
        (FakeManilaV2, "made of the class FakeManilaV2; pass a name .*, a Qiskit BackendV2"),
    ],
)
def test_wrong_names(given: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        get_backend(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["statevector", "fake:manila", "aer:depolarizing=0.1", FakeManilaV2()])
def test_noise_belongs_to_aer_and_comes_once(given: object) -> None:
    with pytest.raises(UsageError, match="noise="):
        get_backend(given, noise=NoiseModel())


def test_noise_must_be_a_noise_model() -> None:
    with pytest.raises(UsageError, match="NoiseModel"):
        get_backend("aer", noise=0.01)


@pytest.mark.parametrize(
    "given",
    [
        StatevectorEstimator(seed=1),
        StatevectorSampler(seed=1),
        AerSimulator(),
        BackendSamplerV2(backend=BasicSimulator(), options={"seed_simulator": 1}),
        BasicSimulator(),
    ],
    ids=lambda given: type(given).__name__,
)
def test_noiseless_objects_agree_with_theory(given: object) -> None:
    found = estimate(GHZ, OPERATORS, backend=given, seed=4)
    assert (np.abs(found.value - [1, 1, 0]) <= 5 * found.std + 1e-12).all()


@pytest.mark.parametrize(
    "given",
    [
        FakeManilaV2(),
        AerSimulator.from_backend(FakeManilaV2()),
        BackendEstimatorV2(backend=AerSimulator.from_backend(FakeManilaV2()), options={"seed_simulator": 1}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_noisy_objects_agree_with_the_emulated_device(given: object) -> None:
    place = get_backend(given)
    assert place.noisy
    assert place.num_qubits == 5
    expected = estimate(GHZ, OPERATORS, backend="fake:manila").value
    found = estimate(GHZ, OPERATORS, backend=place, shots=4000, seed=4)
    assert (np.abs(found.value - expected) <= 4 * np.maximum(found.std, 0.005)).all()
    assert found.shots == 2 * 4000  # two bases
    assert len(found.job_ids) == (1 if isinstance(given, BackendEstimatorV2) else 0)


def test_the_layout_stays_fixed_and_avoids_bad_readout() -> None:
    place = get_backend("fake:torino")
    chain = QuantumCircuit(8)
    for qubit in range(7):
        chain.cx(qubit, qubit + 1)
    qubits = place.transpile(chain).layout.final_index_layout()
    errors = [place.target["measure"][(qubit,)].error for qubit in qubits]
    assert max(errors) < 0.08  # the worst qubits of the device are misread 17 % of the time
    assert get_backend("fake:torino").transpile(chain).layout.final_index_layout() == qubits


def test_transpilation_happens_once_per_structure_and_hands_out_copies() -> None:
    place = get_backend("fake:manila")
    first = place.transpile(GHZ)
    operations = first.count_ops()
    first.x(0)
    second = place.transpile(GHZ.copy())
    assert second.count_ops() == operations
    other = GHZ.copy()
    other.x(0)
    assert place.transpile(other).count_ops() != operations


def test_too_many_qubits() -> None:
    with pytest.raises(UsageError, match="6 qubits and fake:manila has 5"):
        get_backend("fake:manila").transpile(QuantumCircuit(6))


@pytest.mark.parametrize("shots", [0, -1, 1.5, True, "100"])
def test_shots_must_be_positive(shots: object) -> None:
    with pytest.raises(UsageError, match="shots is"):
        estimate(GHZ, OPERATORS, shots=shots)
    with pytest.raises(UsageError, match="shots is"):
        sample(GHZ, shots=shots)


def test_only_the_exact_state_is_differentiable() -> None:
    names = ("statevector", "mps", "mps:truncate", "aer", "aer:matrix_product_state", "fake:manila")
    assert [get_backend(name).differentiable for name in names] == [True, True, True, False, False, False]
    assert not get_backend(StatevectorEstimator()).differentiable


def test_an_estimator_cannot_sample() -> None:
    with pytest.raises(UsageError, match="observables only"):
        sample(GHZ, backend=StatevectorEstimator())


def test_an_ibm_name_without_an_account_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    from qiskit_ibm_runtime.accounts import management

    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "accounts.json"))
    with pytest.raises(UsageError, match="QISKIT_IBM_TOKEN") as caught:
        get_backend("ibm:ibm_torino")
    assert "\n" not in str(caught.value)


def test_a_refused_channel_is_one_line_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "secret-word-4711"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    monkeypatch.setenv("QISKIT_IBM_CHANNEL", "no-such-channel")  # refused before anything is sent
    with pytest.raises(UsageError) as caught:
        get_backend("ibm:ibm_torino")
    assert token not in str(caught.value)
    assert "QISKIT_IBM_CHANNEL" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_list_backends() -> None:
    rows = {row.name: row for row in list_backends()}
    assert len(rows) > 60
    assert rows["fake:torino"].num_qubits == 133
    assert 0.001 < rows["fake:torino"].two_qubit_error < 0.02
    assert rows["fake:armonk"].two_qubit_error is None  # one qubit
    assert not rows["statevector"].noisy
    for name in ("statevector", "aer:depolarizing=0.01", "fake:manila"):
        place = get_backend(name)
        assert isinstance(place, Backend)
        assert (place.noisy, place.num_qubits) == (rows[name].noisy, rows[name].num_qubits)


def test_simulators_do_not_import_the_runtime() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from bondwise.backends import get_backend; get_backend('aer:depolarizing=0.1'); "
        "sys.exit('qiskit_ibm_runtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_delays_off_the_grid_are_named_in_one_line() -> None:
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.delay(500, 0, "dt")
    circuit.h(0)
    with pytest.raises(UsageError, match="multiples of 16 dt") as caught:
        get_backend("fake:manila").transpile(circuit)
    assert "\n" not in str(caught.value)
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.delay(512, 0, "dt")
    assert get_backend("fake:manila").transpile(circuit).count_ops()["delay"] == 1


@pytest.mark.parametrize(
    "given",
    [AerSimulator.from_backend(FakeManilaV2()), GenericBackendV2(3, seed=1)],
    ids=lambda given: type(given).__name__,
)
def test_seeds_reach_the_simulators_of_devices(given: object) -> None:
    bits = QuantumCircuit(3)
    bits.h(range(3))
    bits.measure_all()
    first, second, other = (sample(bits, backend=given, shots=50, seed=s).counts["meas"] for s in (1, 1, 2))
    assert first == second
    assert first != other


def test_a_simulators_own_seed_holds_without_another() -> None:
    given = AerSimulator(seed_simulator=5)
    first, second = (estimate(GHZ, SparsePauliOp("ZII"), shots=999, backend=given).value for _ in range(2))
    assert first == second
    assert estimate(GHZ, SparsePauliOp("ZII"), shots=999, backend=given, seed=1).value != first


def test_the_bases_of_a_device_simulator_have_shots_of_their_own() -> None:
    place = get_backend(AerSimulator.from_backend(FakeManilaV2()))
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    isa = place.transpile(circuit)
    result = place.sample([(isa,), (isa,)], shots=5000, seed=1)
    one, other = (part.data.meas.to_bool_array()[:, 0] for part in result)
    assert np.mean(one[2113:] == other[: 5000 - 2113]) < 0.6


def test_an_object_keeps_its_backend() -> None:
    device = FakeManilaV2()
    assert get_backend(device) is get_backend(device)
    assert get_backend(FakeManilaV2()) is not get_backend(device)
    simulator = AerSimulator()
    assert not get_backend(simulator).noisy
    simulator.set_options(noise_model=NoiseModel.from_backend(device))
    assert get_backend(simulator).noisy


@pytest.mark.parametrize(
    ("given", "noisy"),
    [
        (BasicSimulator(), False),
        (GenericBackendV2(3, noise_info=False), False),
        (GenericBackendV2(3, seed=1), True),
        (AerSimulator(coupling_map=[[0, 1], [1, 2]]), False),
        (AerSimulator.from_backend(FakeManilaV2()), True),
        (BackendSamplerV2(backend=BasicSimulator()), False),
    ],
)
def test_noise_of_objects(given: object, noisy: bool) -> None:
    place = get_backend(given)
    assert place.noisy == noisy
    if not noisy:
        found = estimate(GHZ, OPERATORS, backend=place)
        assert (np.abs(found.value - [1, 1, 0]) <= 6 * found.std + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("aer:mps", "aer:matrix_product_state"),
        ("aer:mps,depolarizing=0.1", "aer:matrix_product_state,depolarizing=0.1"),
        ("MPS", "mps"),
        ("default.qubit", "statevector"),
        ("lightning.qubit", "statevector"),
        ("lightning.gpu", "statevector"),
        ("default.clifford", "aer:stabilizer"),
        ("AerSimulator", "aer"),
        ("qiskit.basicsim", "aer"),
        ("default.mixed", "aer:density_matrix"),
        ("qasm_simulator", "aer"),
        ("aer_simulator_statevector", "aer:statevector"),
        ("ibmq_manila", "fake:manila"),
        ("ibmq_nowhere", "ibm:least_busy"),
        ("ibm_torino", "ibm:ibm_torino"),
        ("FakeTorino", "fake:torino"),
        ("fake_torino", "fake:torino"),
        ("FakeManilaV2", "fake:manila"),
        ("torino", "fake:torino"),
        ("Statevector", "statevector"),
    ],
)
def test_names_of_other_packages_are_suggested_as_ours(name, meant):
    with pytest.raises(UsageError, match=re.escape(f"unknown backend {name!r}. Did you mean {meant!r}?")):
        get_backend(name)
    if not meant.startswith("ibm"):  # needs an account
        assert get_backend(meant).name == meant
