"""States, observables and Hamiltonians from files and flags, and circuits into files.

Input that cannot be read raises an error of one line.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bondwise import circuits, qml, tn
from bondwise.circuits.files.formats import is_circuit_file
from bondwise.runs import UsageError, is_file, json_text, printable, read_arrays, unknown_name
from bondwise.runs.text import counted

if TYPE_CHECKING:
    import numpy as np
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from bondwise.qml import Molecule
    from bondwise.tn.states.chains import Order

_STATES = (
    "give tensors as .npz or .safetensors, a vector or bit strings as .npy, bit strings as .csv or .txt, "
    "counts as .json, or a circuit as .qpy or .qasm"
)


def read_state(path: Path, order: Order = "little") -> QuantumCircuit | list[np.ndarray] | np.ndarray:
    """Read a state, or data to find it from, without unpickling anything.

    Args:
        path: `.npz` with an array (left, 2, right) per site, called site0, site1, … (or 0, 1, …, or arr_0,
            arr_1, … as NumPy calls them; the numbers give the order) or quimb's `.arrays`, or with one array
            that `.npy` may hold; `.npy` with a vector of length 2**n, or with bit strings of shape (samples,
            n); `.safetensors` with tensors, also of a saved result; `.csv` or `.txt` with one bit string per
            line; `.json` with counts; `.qpy` or `.qasm` with a
            circuit. Site i and column i become qubit i.
        order: Order of a vector's index: "little" if qubit 0 is its lowest bit, or "big".

    Returns:
        A circuit without free parameters; canonical tensors, one (left, 2, right) per site; or bit strings,
        uint8 of shape (samples, n).

    Raises:
        UsageError: If the file does not exist, is of another kind or damaged, or does not hold a state.
    """
    if not is_file(path):
        raise UsageError(f"there is no file {path}; {_STATES}.")
    if is_circuit_file(path):
        circuit = circuits.read_circuit(path)
        if circuit.num_parameters:
            raise UsageError(
                f"{path} has {counted(circuit.num_parameters, 'free parameter')}"
                "; give one whose angles are bound."
            )
        return circuit
    arrays_end = (".npy", ".npz", ".safetensors")
    if order != "little" and path.suffix not in arrays_end:
        raise UsageError(f"--order is for vectors; {path} holds none, so leave it out.")
    if path.suffix in (".csv", ".txt", ".json"):
        return tn.read_bitstrings(path)
    if path.suffix not in arrays_end:
        _refuse_pickle(path)
        raise UsageError(f"{path} ends in {path.suffix!r}; {_STATES}.")
    from bondwise.tn.states.bitstrings import as_bits, is_bits

    arrays = read_arrays(path)
    content: Any = next(iter(arrays.values()), None)
    if len(arrays) != 1 or (content.ndim >= 3 and path.suffix != ".npy"):
        content = _in_order(path, arrays)
    elif content.dtype.kind == "U" or is_bits(content):
        return tn.read_bitstrings(path) if path.suffix == ".npy" else as_bits(content, str(path))
    try:
        return tn.site_tensors(content, order=order)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _refuse_pickle(path: Path) -> None:
    """Explain why a pickle, which quimb and joblib write under any name, is not read."""
    with open(path, "rb") as file:
        start = file.read(2)
    named = path.suffix in (".dmp", ".pkl", ".pickle", ".joblib")
    if named or (start[:1] == b"\x80" and start[1:] <= b"\x05"):
        raise UsageError(
            f"{path} is a pickle, as quimb.save_to_disk and joblib save states, and reading one can run any "
            'code; load it where it comes from, and write numpy.savez("state.npz", '
            "*bondwise.tn.site_tensors(state))."
        )


def _in_order(path: Path, arrays: dict[str, Any]) -> list[Any]:
    """The arrays of the sites, by the numbers in their names."""
    numbers = {}
    for name in arrays:
        match = re.fullmatch(r"(?:site_?|arr_|tensors\.)?([0-9]{1,9})", name)
        if match is None:
            raise UsageError(
                f"{path} holds an array {name!r}; call the tensors site0, site1, …, or one array 'vector'."
            )
        numbers[name] = int(match[1])
    names = sorted(arrays, key=numbers.__getitem__)
    for site, name in enumerate(names):
        if numbers[name] != site:
            what = "no tensor" if numbers[name] > site else "two tensors"
            number = site if numbers[name] > site else numbers[name]
            raise UsageError(f"{path} holds {what} of site {number}; number them from 0 to n - 1, each once.")
    # a saved result holds complex numbers as pairs of real ones
    pairs = (
        bool(names) and names[0].startswith("tensors.") and all(array.ndim == 4 for array in arrays.values())
    )
    return [arrays[name] @ [1, 1j] if pairs else arrays[name] for name in names]


def read_program(path: Path, parameters: str | None) -> tuple[QuantumCircuit, np.ndarray | None]:
    """Read a circuit, and the angles that a flag gives it.

    Args:
        path: The circuit, as QPY or OpenQASM.
        parameters: Its angles, see `read_angles`; None if it has no free parameters.

    Returns:
        The circuit with P parameters, and float64 of shape (P,), or (batch, P); None without `parameters`.

    Raises:
        UsageError: If a file cannot be read, angles are missing, or they make an angle infinite.
    """
    circuit = circuits.read_circuit(path)
    angles = read_angles(parameters, circuit) if parameters else None
    if circuit.parameters and angles is None:
        raise UsageError(
            f"{path} has {counted(len(circuit.parameters), 'free parameter')}"
            "; give their angles with --parameters FILE, or by name, --parameters "
            f"{circuit.parameters[0].name}=0.1,…"
        )
    if angles is not None:
        import numpy as np

        for row in np.atleast_2d(angles):  # finite angles can still make 1e308 * x infinite
            circuits.bind_soundly(circuit, row, f"{path} with {parameters}")
    return circuit, angles


def read_angles(text: str, circuit: QuantumCircuit) -> np.ndarray:
    """Read the angles of a circuit from a flag.

    Args:
        text: A file, see `bondwise.circuits.read_parameters`, or names with angles, `theta=0.3,x[0]=pi/4`, or
            JSON.
        circuit: Circuit with P parameters.

    Returns:
        float64 of shape (P,), or (batch, P), in the order of `circuit.parameters`.

    Raises:
        UsageError: If the text is neither, or its names or numbers do not fit the circuit.
    """
    from bondwise.circuits.files.angle_text import angles_in

    return (
        circuits.read_parameters(text, circuit) if is_file(text) else angles_in(text, circuit, "--parameters")
    )


def read_observable(text: str, num_qubits: int, *, said: list[str] | None = None) -> SparsePauliOp:
    """Read an observable from a flag.

    Args:
        text: Sum of Pauli words such as `ZZI`, `0.5*XX - ZZ` (rightmost letter: qubit 0) or `0.5 X0 X1 - Z0`,
            or a file in any format of `bondwise.qml.read_hamiltonian`.
        num_qubits: Number of qubits of the circuit.
        said: List to which the format of a file is added, for `say`.

    Raises:
        UsageError: If the text is neither, or it is for another number of qubits.
    """
    from bondwise.circuits.observables.text import names_file, operator_in

    if is_file(text):
        operator = _read_operator(text, said, num_qubits)
    elif names_file(text):
        raise UsageError(f"--observable: there is no file {text}; give one, or write ZZI or '0.5*XX - ZZ'.")
    else:
        operator = operator_in(text, f"--observable {text[:60]!r}", num_qubits)
    if operator.num_qubits != num_qubits:
        raise UsageError(
            f"the observable {text[:60]!r} has {counted(operator.num_qubits, 'qubit')} and the circuit "
            f"{num_qubits}; write one letter for each, or Z0 to Z{num_qubits - 1}."
        )
    return operator


def _read_operator(path: str, said: list[str] | None, num_qubits: int | None = None) -> SparsePauliOp:
    """The operator in a file."""
    from bondwise.circuits.observables.text import read_operator

    operator, read = read_operator(path, num_qubits)
    if said is not None:
        said.append(f"read {read}")
    return operator


def say(said: list[str], quiet: bool) -> None:
    """Print to standard error how files were read, once nothing can be refused any more."""
    for line in () if quiet else said:
        print(printable(line), file=sys.stderr)


def read_model(
    model: str,
    size: str | None,
    periodic: bool,
    *,
    most: int,
    task: str,
    said: list[str] | None = None,
) -> SparsePauliOp:
    """Build or read the Hamiltonian that the flags name.

    Args:
        model: Name of a model, a file, or a sum of Pauli words.
        size: Size of the lattice, for a named model.
        periodic: Whether the lattice is closed, for a named model.
        most: Maximum number of qubits; a larger lattice is refused before its terms are made.
        task: Task that would take too long with more qubits, for the message.
        said: List to which the format of a file is added, for `say`.

    Raises:
        UsageError: If the model or the size is unknown, the file cannot be read, or there are too many
            qubits.
    """

    def require_few(qubits: int) -> None:
        if qubits > most:
            raise UsageError(f"{qubits} qubits are too many to {task}; give at most {most}.")

    from bondwise.circuits.observables.text import names_file, operator_in

    in_file = is_file(model) or names_file(model)
    if in_file or re.search(r"[\d*+\s-].*[XYZ]|[XYZ].*[\d*+\s-]", model):  # not XYZ, which could be a model
        if size is not None or periodic:
            raise UsageError(
                f"--size and --periodic are for named models; {model} holds the whole Hamiltonian."
            )
        hamiltonian = (
            _read_operator(model, said) if in_file else operator_in(model, f"--model {model[:60]!r}")
        )
        require_few(hamiltonian.num_qubits)
        return hamiltonian
    from bondwise.qml.hamiltonians.lattices import MODELS

    if model.lower() not in MODELS:
        raise unknown_name("model", model, [*MODELS, "FILE (with a Hamiltonian)", "a sum such as 1.0*ZZ"])
    if size is None:
        raise UsageError("--size is missing; give the number of sites, such as 8 or 3x4.")
    lattice = qml.lattice_size(size)
    require_few(lattice if isinstance(lattice, int) else math.prod(lattice))
    return qml.model_hamiltonian(model, size, periodic=periodic)


def read_molecule(
    molecule: str, *, bond: float | None, basis: str | None, active: str | None, mapping: str | None
) -> Molecule:
    """Compute the molecule that the flags name.

    Args:
        molecule: Name of a molecule, XYZ file, or XYZ text.
        bond: Length of its bonds in Å.
        basis: Name of a basis set.
        active: Numbers of active electrons and orbitals, `2,5`.
        mapping: Name of a mapping.

    Raises:
        UsageError: As for `qml.molecule`.
    """
    space = None
    if active is not None:
        parts = re.fullmatch(r"\s*\(?\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*\)?\s*", active)
        if parts is None:
            raise UsageError(f"--active is {active!r}; give electrons and orbitals, such as 2,5.")
        space = (int(parts[1]), int(parts[2]))
    given = {"basis": basis, "mapping": mapping}
    return qml.molecule(
        molecule, bond=bond, active=space, **{k: v for k, v in given.items() if v is not None}
    )


def circuit_contents(circuit: QuantumCircuit, angles: np.ndarray) -> dict[str, bytes | str]:
    """Contents of the files for a circuit and its angles.

    Returns:
        The circuit with free parameters as QPY (`ansatz`), with the angles bound as QPY (`qpy`) and
        OpenQASM 3 (`qasm`), and the angles by name as JSON (`angles`).
    """
    from bondwise.circuits.files.writing import circuit_content

    bound = circuit.assign_parameters(angles)
    names = (parameter.name for parameter in circuit.parameters)
    return {
        "ansatz": circuit_content(circuit, "ansatz.qpy"),
        "qpy": circuit_content(bound, "trained.qpy"),
        "qasm": circuit_content(bound, "trained.qasm"),
        "angles": json_text(dict(zip(names, angles.tolist(), strict=True))) + "\n",
    }
