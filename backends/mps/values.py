"""Expectation values of Pauli sums in matrix product states, in torch.

A sum becomes a matrix product operator of the smallest bonds on the sites from its first to its last letter.
Left of them and right of them only the overlap of the state with itself is needed, which all sums share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from qiskit.quantum_info import PauliList, SparsePauliOp

from bondwise.tn.states.operators import matrix_product, read_operator


@dataclass(frozen=True)
class PauliOperator:
    """A Pauli sum: its constant, and the rest as site operators (left, right, 2, 2), bra before ket."""

    constant: float
    first: int
    tensors: tuple[torch.Tensor, ...]

    @property
    def stop(self) -> int:
        """The site after the last one."""
        return self.first + len(self.tensors)

    @property
    def widest(self) -> int:
        """Largest bond dimension."""
        return max((tensor.shape[0] for tensor in self.tensors), default=1)


def as_product(operator: SparsePauliOp) -> PauliOperator:
    """A Pauli sum with real coefficients as a matrix product operator, made once."""
    paulis = operator.paulis
    return _product(operator.num_qubits, paulis.x.tobytes(), paulis.z.tobytes(), operator.coeffs.tobytes())


@lru_cache(maxsize=256)
def _product(sites: int, x: bytes, z: bytes, coefficients: bytes) -> PauliOperator:
    weights = np.frombuffer(coefficients, dtype=complex)
    flips, signs = (np.frombuffer(bits, dtype=bool).reshape(len(weights), sites) for bits in (x, z))
    terms = SparsePauliOp(PauliList.from_symplectic(signs, flips), weights)
    words, found, constant = read_operator(terms)
    if not len(words):
        return PauliOperator(constant, 0, ())
    used = np.flatnonzero(words.any(axis=0))
    first, stop = int(used[0]), int(used[-1]) + 1
    arrays = matrix_product(words[:, first:stop], found)
    return PauliOperator(constant, first, tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays))


def chain_values(tensors: Sequence[torch.Tensor], operators: Sequence[PauliOperator]) -> torch.Tensor:
    """Expectation values of K operators in matrix product states, divided by the norm of the states.

    Args:
        tensors: Site tensors (B, left, 2, right), float64 or complex128.
        operators: The operators.

    Returns:
        float64 (B, K), differentiable any number of times.
    """
    mixed = any(tensor.is_complex() for one in operators for tensor in one.tensors)
    if mixed:
        tensors = [tensor.to(torch.complex128) for tensor in tensors]
    sites, one = len(tensors), tensors[0].new_ones(len(tensors[0]), 1, 1, 1)
    flipped = [tensor.transpose(1, 3) for tensor in tensors]
    identity = torch.eye(2, dtype=tensors[0].dtype)[None, None]
    starts = {operator.first for operator in operators if operator.tensors}
    stops = {operator.stop for operator in operators if operator.tensors}
    last = max(starts, default=0)
    left = {0: one}
    for site in range(last):
        left[site + 1] = _step(left[site], tensors[site], identity)
    right = {sites: one}
    for site in range(sites - 1, min(stops, default=sites) - 1, -1):
        right[site] = _step(right[site + 1], flipped[site], identity)
    norm = _joined(left[last], _until(right, flipped, identity, last))
    values = []
    for operator in operators:
        if not operator.tensors:
            values.append(torch.full_like(norm, operator.constant))
            continue
        block = left[operator.first]
        for tensor, local in zip(tensors[operator.first : operator.stop], operator.tensors, strict=True):
            block = _step(block, tensor, local.to(tensor.dtype))
        values.append(_joined(block, right[operator.stop]) / norm + operator.constant)
    return torch.stack(values, dim=-1)


def chain_amplitudes(tensors: Sequence[torch.Tensor], bits: np.ndarray) -> torch.Tensor:
    """Amplitudes of M bit strings in matrix product states, not divided by the norm of the states.

    Args:
        tensors: Site tensors (B, left, 2, right), float64 or complex128.
        bits: 0 and 1, (M, n); column i is site i.

    Returns:
        (B, M) of the same dtype, differentiable any number of times.
    """
    ones = torch.from_numpy(bits.T == 1)[:, :, None]
    vectors = tensors[0].new_ones(len(tensors[0]), len(bits), 1)
    for one, tensor in zip(ones, tensors, strict=True):
        vectors = torch.where(one, vectors @ tensor[:, :, 1], vectors @ tensor[:, :, 0])
    return vectors[..., 0]


def _until(
    right: dict[int, torch.Tensor], flipped: Sequence[torch.Tensor], identity: torch.Tensor, site: int
) -> torch.Tensor:
    """The block right of a site, which may reach further than those that are there."""
    nearest = min(at for at in right if at >= site)
    block = right[nearest]
    for at in range(nearest - 1, site - 1, -1):
        block = _step(block, flipped[at], identity)
    return block


def _step(block: torch.Tensor, tensor: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
    """Add a site to a block (B, operator, bra, ket)."""
    batch, left, _, right = tensor.shape
    width, wider = local.shape[:2]
    ket = block.reshape(batch, -1, left) @ tensor.reshape(batch, left, 2 * right)
    ket = ket.reshape(batch, width, left, 2, right).permute(0, 2, 4, 1, 3)  # bra, next ket, operator, bit
    ket = ket.reshape(batch, -1, 2 * width) @ local.permute(0, 3, 1, 2).reshape(2 * width, 2 * wider)
    ket = ket.reshape(batch, left, right, wider, 2).permute(0, 1, 4, 3, 2)  # bra, bit, operator, next ket
    bra = tensor.conj().reshape(batch, 2 * left, right).transpose(1, 2)
    made = bra @ ket.reshape(batch, 2 * left, wider * right)
    return made.reshape(batch, right, wider, right).transpose(1, 2)


def _joined(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The real part of the contraction of two blocks with one operator bond of 1, (B,)."""
    joined = (left[:, 0] * right[:, 0]).sum((1, 2))
    return joined.real if joined.is_complex() else joined
