"""OpenQASM 2 and 3 to circuits. What the parsers complain about is raised with file, line and a remedy."""

from __future__ import annotations

import re
from bisect import bisect_left
from pathlib import Path
from typing import Any
from uuid import uuid4

import openqasm3
from qiskit import QuantumCircuit, qasm2
from qiskit.circuit import Parameter
from qiskit.qasm3 import STDGATES_INC_GATES
from qiskit_qasm3_import import ConversionError
from qiskit_qasm3_import.converter import ConvertVisitor

from bondwise.circuits.files.formats import ORDER
from bondwise.circuits.files.includes import LIBRARIES, Expansion, says_version
from bondwise.runs import UsageError, one_line

_POSITION = re.compile(r"(?:<input>:)?(\d+),(\d+): |L(\d+):C(\d+): ")
_UNKNOWN = re.compile(r"'(\w+)' (?:is not defined|before definition)")
_UNDECLARED = re.compile(r"Undefined symbol '(\w+)'|'(\w+)' is not a parameter")
_TAKEN = re.compile(r"Symbol '(\w+)' already inserted")
_REMEDIES = {
    r"__init__\(\) |label expects|\d+ parameter": "give each gate its angles, as in rx(0.5) q[0];",
    r"qubit\(\d|quantum argument": "give each gate its qubits, as in cx q[0], q[1];",
    "FunctionCall|binary operation": "write the number, or declare an input and compute its angle in Python",
    "type 'float'|ConstantDeclaration": "write the number in the gate, as in rx(0.3) q[0];",
    "inputs are supported": "declare one for each number, as in input float theta;",
    "index must be|ForInLoop|loop": "write the passes of the loop out, as in h q[0]; h q[1];",
    "Subroutine": "define a gate, as in gate bell a, b { h a; cx a, b; }",
    "'output' keyword": "declare bit[2] c; and write c = measure q;",
    "angle-like": "give a number such as 0.5, or declare input float theta; for a free angle",
    "duplicate": "name different qubits, as in cx q[0], q[1];",
    "out.of.range": "number qubits from 0, as in h q[0];",
    "already": "remove the line, or give another name",
    "not expected here|needed|end-of-file": "end each statement with a semicolon, as in h q[0];",
    "conditions must": "write if (c[0]) for a bit, or if (c == 1) for a register",
    "support": "write gates, measurements and resets, with conditions such as if (c[0]) or if (c == 1)",
}


def parse(program: Expansion, version: int, path: Path) -> QuantumCircuit:
    """Parse a program.

    Args:
        program: The program, with its includes written out.
        version: 2 or 3.
        path: Path of its file, for messages.

    Returns:
        The circuit. From OpenQASM 3, its metadata has the names of its inputs, in order.

    Raises:
        UsageError: If the program is not valid, or beyond what Qiskit reads.
    """
    try:
        return _version2(program.text) if version == 2 else _version3(program.text)
    except (UsageError, MemoryError, RecursionError):
        raise
    except BaseException as error:  # the parsers have their own exceptions, and Rust panics
        reason = _reason(error, program, version)
        raise UsageError(f"{path} cannot be read as a circuit: {reason}") from error


def _version2(text: str) -> QuantumCircuit:
    # with the gates that Qiskit writes although qelib1.inc lacks them; no file is searched for
    return qasm2.loads(text, include_path=(), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)


class _Visitor(ConvertVisitor):
    """Conversion in which every error has a position, and every input an identity of its own."""

    def visit(self, node: Any, context: Any = None) -> Any:
        try:
            return super().visit(node, context)
        except (ConversionError, MemoryError, RecursionError):
            raise
        except Exception as error:
            raise ConversionError(one_line(error), node) from error

    def visit_IODeclaration(self, node: Any, context: Any) -> Any:  # noqa: N802 (called by this name)
        context = super().visit_IODeclaration(node, context)
        symbol = context.symbol_table.get(node.identifier.name)
        context.all_parameters.discard(symbol.data)
        # Qiskit's generator of identities goes on alike in every forked process, so that the inputs of two
        # files would be one and the same parameter
        symbol.data = Parameter(symbol.name, uuid=uuid4())
        context.all_parameters.add(symbol.data)
        return context


def _version3(text: str) -> QuantumCircuit:
    program = openqasm3.parse(text)
    circuit = _Visitor().convert(program).circuit
    declared = [
        statement.identifier.name
        for statement in program.statements
        if isinstance(statement, openqasm3.ast.IODeclaration)
    ]
    if declared:
        circuit.metadata = {ORDER: declared}
    return circuit


def _reason(error: BaseException, program: Expansion, version: int) -> str:
    """The parser's complaint in one line, with its position and a remedy."""
    message = one_line(error)
    if not isinstance(error, Exception):  # a Rust panic
        return (
            f"Qiskit's parser crashes on it ({message}), as it does on sizes and numbers that are too large."
        )
    if isinstance(error, TypeError) and version == 2:  # the only error without a position
        message = f"{_first_line(program.text)},0: {message}"
    if not str(error):  # the OpenQASM 3 parser keeps the token instead of a message
        cause = error.__cause__
        inner = cause.args[0] if cause is not None and cause.args else cause
        token = getattr(inner, "offendingToken", None)
        if token is None:
            return f"it is not valid OpenQASM {version}."
        what = "the end of the file" if token.text == "<EOF>" else repr(one_line(token.text, 40))
        message = f"{token.line},{token.column}: {what} is not expected here"
    place = ""
    if match := _POSITION.match(message):
        line, column = filter(None, match.groups())
        place = f"{program.place(int(line))}, column {column}: "
        message = message[match.end() :]
    if not says_version(program.text):
        first, second = (f'OPENQASM {one}.0; include "{LIBRARIES[one]}";' for one in (3, 2))
        return f"{place}{message.rstrip('.')}; there is no version line: begin with {first} or with {second}"
    return place + _with_remedy(message.rstrip("."), version)


def _with_remedy(message: str, version: int) -> str:
    """The complaint, with the line to write instead."""
    two = version == 2
    if match := _UNKNOWN.search(message):
        name, library = match[1], LIBRARIES[version]
        if name in _library(version):
            return f'gate {name!r} is not defined; write include "{library}"; below the version.'
        return (
            f"{name!r} is not defined; define it above: a gate as in gate {name} a {{ x a; }}, "
            f"qubits as in {f'qreg {name}[2]' if two else f'qubit[2] {name}'};."
        )
    if match := _TAKEN.search(message):
        if match[1] in _library(version):
            return f"{match[1]!r} is the name of a gate in {LIBRARIES[version]}; give another, as in theta."
    if match := _UNDECLARED.search(message):
        name = match[1] or match[2]
        if two:
            return f"{name!r} is not defined; free angles need OpenQASM 3, with input float {name};."
        return f"{name!r} is not declared; write qubit[2] {name}; or, for a free angle, input float {name};."
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, message):
            return f"{message}; {remedy}."
    return f"{message}; write a statement such as h q[0];."


def _library(version: int) -> frozenset[str]:
    gates: Any = STDGATES_INC_GATES if version == 3 else qasm2.LEGACY_CUSTOM_INSTRUCTIONS
    return frozenset(gate.name for gate in gates)


def _first_line(text: str) -> int:
    """The line of the first statement of OpenQASM 2 that raises a TypeError."""

    def fails(end: int) -> bool:
        try:
            _version2(text[:end])
        except TypeError:
            return True
        except qasm2.QASM2ParseError:  # cut within the definition of a gate
            pass
        return False

    ends = [match.end() for match in re.finditer(";", text)]
    index = bisect_left(ends, True, key=fails)
    return text.count("\n", 0, ends[index] if index < len(ends) else len(text)) + 1
