"""The action of a box on the state of its wires, as a real matrix.

States have two forms. A pure state is the real vector of its 2^n complex amplitudes, real parts first. A
mixed state is its Pauli vector r_p = Tr(P_p ρ) of 4^n real numbers, where the base-4 digits of p are the
letters I, X, Y, Z and wire 0 is the most significant digit; r_0 is the trace. A box with traced-out wires is
then the real Pauli transfer matrix R_qp = Tr(P_q Φ(P_p)) / 2^n of its channel Φ.
"""

from __future__ import annotations

from functools import lru_cache

import torch


def kraus(unitary: torch.Tensor, inputs: int, outputs: int, *, discard: bool) -> torch.Tensor:
    """Kraus operators of boxes whose surplus wires are the last ones.

    Args:
        unitary: Complex (K, 2^n, 2^n), n = max(inputs, outputs) qubits.
        inputs: Number of input wires; the others start in |0⟩.
        outputs: Number of output wires.
        discard: Whether the other wires are traced out instead of post-selected on |0⟩.

    Returns:
        Complex (K, outcomes, 2^outputs, 2^inputs), with a single outcome if wires are post-selected.
    """
    count, size = unitary.shape[:2]
    operators = unitary.reshape(count, 2**outputs, size // 2**outputs, 2**inputs, size // 2**inputs)[..., 0]
    operators = operators.transpose(1, 2)
    return operators if discard else operators[:, :1]


def transfer_matrix(operators: torch.Tensor) -> torch.Tensor:
    """Pauli transfer matrices (K, 4^outputs, 4^inputs) of channels given by their Kraus operators."""
    outputs, inputs = (size.bit_length() - 1 for size in operators.shape[-2:])
    after, before = (paulis(n).to(operators) for n in (outputs, inputs))
    evolved = torch.einsum("kjab,pbc,kjdc->kpad", operators, before, operators.conj())
    return torch.einsum("qda,kpad->kqp", after, evolved).real / 2**inputs


def real_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """Complex matrices (K, a, b) as real ones (K, 2a, 2b) that act on real, then imaginary parts."""
    top = torch.cat([matrix.real, -matrix.imag], dim=-1)
    return torch.cat([top, torch.cat([matrix.imag, matrix.real], dim=-1)], dim=-2)


def pauli_vector(amplitudes: torch.Tensor) -> torch.Tensor:
    """Pauli vectors (..., 4^n) of pure states with complex amplitudes (..., 2^n)."""
    operators = paulis(amplitudes.shape[-1].bit_length() - 1).to(amplitudes)
    return torch.einsum("...a,pab,...b->...p", amplitudes.conj(), operators, amplitudes).real


def probabilities(state: torch.Tensor, *, pure: bool) -> torch.Tensor:
    """Outcome probabilities (..., 2^n) of measuring all qubits, normalized to sum 1."""
    if pure:
        real, imaginary = state.chunk(2, dim=-1)
        weights = real**2 + imaginary**2
    else:
        qubits = (state.shape[-1].bit_length() - 1) // 2
        weights = state[..., _diagonal(qubits)] @ _signs(qubits).to(state)
    return weights / weights.sum(-1, keepdim=True)


def z_values(outcomes: torch.Tensor) -> torch.Tensor:
    """⟨Z⟩ of every qubit (..., n) from outcome probabilities (..., 2^n)."""
    qubits = outcomes.shape[-1].bit_length() - 1
    rows = [2 ** (qubits - 1 - qubit) for qubit in range(qubits)]
    return outcomes @ _signs(qubits).to(outcomes)[rows].T


@lru_cache
def paulis(qubits: int) -> torch.Tensor:
    """All Pauli matrices, complex128 (4^n, 2^n, 2^n)."""
    single = torch.tensor([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    product = torch.ones(1, 1, 1, dtype=torch.complex128)
    for _ in range(qubits):
        product = torch.stack([torch.kron(left, right.to(left)) for left in product for right in single])
    return product


@lru_cache
def _diagonal(qubits: int) -> torch.Tensor:
    """Indices (2^n,) of the Paulis made of I and Z only, in the order of the subsets of qubits."""
    numbers = torch.zeros(1, dtype=torch.int64)
    for _ in range(qubits):
        numbers = (4 * numbers[:, None] + torch.tensor([0, 3])).flatten()
    return numbers


@lru_cache
def _signs(qubits: int) -> torch.Tensor:
    """Eigenvalues ±1 of those Paulis (2^n Paulis, 2^n outcomes)."""
    return paulis(qubits)[_diagonal(qubits)].diagonal(dim1=1, dim2=2).real.clone()
