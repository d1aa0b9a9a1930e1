"""Circuits whose results can be read: every classical bit is in a register with a usable name."""

from __future__ import annotations

from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.primitives import DataBin

from bondwise.circuits.sources import as_circuit

_MEASURED, _LOOSE = "meas", "c"  # Qiskit's own names


def readable(circuit: QuantumCircuit) -> tuple[QuantumCircuit, dict[str, str]]:
    """Prepare a circuit so that all its classical bits come back in a sampler's result.

    If there are no measurements, all qubits are measured at the end into a register `meas`: the circuit's own
    if it has one of that size, otherwise a new one (`meas_` if the name is taken). Bits without a register
    get one called `c` (or `c_`). A register whose name is an attribute of Qiskit's results, such as `shape`,
    is renamed. Registers without bits, at which Qiskit's samplers fail, are left out beside others.

    Args:
        circuit: The circuit.

    Returns:
        The circuit itself if nothing is missing, otherwise a copy; and a dictionary from the names of its
        registers to the names that the caller knows.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from bondwise.circuits import readable
        >>> circuit, names = readable(QuantumCircuit(2))
        >>> dict(circuit.count_ops()), names
        ({'measure': 2, 'barrier': 1}, {'meas': 'meas'})
    """
    circuit = as_circuit(circuit)
    if not any(instruction.clbits for instruction in circuit.data):
        circuit = _all_measured(circuit)
    circuit = in_registers(circuit)
    held = [bit for register in circuit.cregs for bit in register]
    names = {register.name: register.name for register in circuit.cregs}
    fresh = {}
    for name in names:
        if name == "self" or hasattr(DataBin, name):
            fresh[name] = _free_name(circuit, f"read_{name.strip('_')}")
    sizes = [register.size for register in circuit.cregs]
    if not fresh and list(dict.fromkeys(held)) == circuit.clbits and (all(sizes) or not any(sizes)):
        return circuit, names
    circuit = _renamed(circuit, fresh)
    back = {new: old for old, new in fresh.items()}
    return circuit, {register.name: back.get(register.name, register.name) for register in circuit.cregs}


def in_registers(circuit: QuantumCircuit) -> QuantumCircuit:
    """The circuit with a register, the last one, for the classical bits that are in none."""
    held = {bit for register in circuit.cregs for bit in register}
    loose = [bit for bit in circuit.clbits if bit not in held]
    if not loose:
        return circuit
    circuit = circuit.copy()
    circuit.add_register(ClassicalRegister(bits=loose, name=_free_name(circuit, _LOOSE)))
    return circuit


def _all_measured(circuit: QuantumCircuit) -> QuantumCircuit:
    measured = circuit.copy()
    own = [r for r in circuit.cregs if r.name == _MEASURED and r.size == circuit.num_qubits]
    if own:
        register = own[0]
    else:
        register = ClassicalRegister(circuit.num_qubits, _free_name(circuit, _MEASURED))
        measured.add_register(register)
    measured.barrier()
    measured.measure(measured.qubits, register)
    return measured


def _renamed(circuit: QuantumCircuit, names: dict[str, str]) -> QuantumCircuit:
    """The circuit with other names for some of its classical registers, and without empty ones.

    The bits follow the registers: Aer takes those of a register to be side by side.
    """
    some = any(register.size for register in circuit.cregs)
    renamed = QuantumCircuit(name=circuit.name, metadata=circuit.metadata)
    renamed.add_bits(circuit.qubits)
    renamed.add_bits(dict.fromkeys(bit for register in circuit.cregs for bit in register))
    for register in (*circuit.qregs, *circuit.cregs):
        if isinstance(register, ClassicalRegister) and some and not register.size:
            continue
        if isinstance(register, ClassicalRegister) and register.name in names:
            register = ClassicalRegister(bits=list(register), name=names[register.name])
        renamed.add_register(register)
    renamed.compose(circuit, circuit.qubits, circuit.clbits, inplace=True)
    renamed._layout = circuit._layout
    return renamed


def _free_name(circuit: QuantumCircuit, name: str) -> str:
    """The name, with underscores appended until no register of the circuit has it."""
    taken = {register.name for register in (*circuit.qregs, *circuit.cregs)}
    while name in taken:
        name += "_"
    return name
