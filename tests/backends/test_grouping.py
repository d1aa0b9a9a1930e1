"""Groups that commute qubit by qubit, against Qiskit's coloring of the graph of clashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import PauliList

from bondwise.backends import grouping
from bondwise.backends.grouping import commuting_groups
from bondwise.qml import heisenberg, ising


def random_terms(seed: int, number: int, qubits: int, share: float) -> PauliList:
    """Different terms with a letter on about this share of the qubits."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 4, (number, qubits)) * (rng.random((number, qubits)) < share)
    codes = np.unique(codes, axis=0)
    rng.shuffle(codes)
    return PauliList.from_symplectic(codes & 1 > 0, codes & 2 > 0)


def hopping_and_pairs(sites: int) -> PauliList:
    """The strings of a molecule after the Jordan-Wigner transformation: chains of Z between X and Y."""
    labels = set()
    for p in range(sites):
        labels.add("".join("Z" if q == p else "I" for q in range(sites)))
        for q in range(p + 1, sites):
            labels.add("".join("Z" if r in (p, q) else "I" for r in range(sites)))
            for ends in ("XX", "YY"):
                chain = {p: ends[0], q: ends[1]} | {r: "Z" for r in range(p + 1, q)}
                labels.add("".join(chain.get(r, "I") for r in range(sites)))
            for r in range(q + 1, sites):
                for s in range(r + 1, sites):
                    for letters in ("XXXX", "XXYY", "XYXY", "XYYX", "YXXY", "YXYX", "YYXX", "YYYY"):
                        chain = dict(zip((p, q, r, s), letters, strict=True))
                        chain |= {w: "Z" for w in (*range(p + 1, q), *range(r + 1, s))}
                        labels.add("".join(chain.get(w, "I") for w in range(sites)))
    return PauliList(sorted(labels))


def check(terms: PauliList) -> None:
    groups = commuting_groups(terms)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(terms)))
    for group in groups:
        x, z = terms.x[group], terms.z[group]
        both = (x | z)[:, None] & (x | z)[None]
        assert not (both & ((x[:, None] != x[None]) | (z[:, None] != z[None]))).any()


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 70), st.floats(0.02, 1))
def test_every_term_is_in_one_group_and_all_commute(seed, number, qubits, share) -> None:
    check(random_terms(seed, number, qubits, share))


@pytest.mark.parametrize(
    "terms",
    [
        *(random_terms(seed, 80, 2 + seed % 6, 0.2 + 0.1 * (seed % 8)) for seed in range(16)),
        random_terms(1, 60, 130, 0.03),
        hopping_and_pairs(7),
        ising((3, 3)).paulis,
        heisenberg((3, 4), periodic=True).paulis,
    ],
    ids=str,
)
def test_groups_are_those_of_qiskit(terms: PauliList) -> None:
    ours = [terms[group].to_labels() for group in commuting_groups(terms)]
    assert ours == [group.to_labels() for group in terms.group_commuting(qubit_wise=True)]


def test_clashes_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = random_terms(3, 200, 6, 0.6)
    whole = [group.tolist() for group in commuting_groups(terms)]
    monkeypatch.setattr(grouping, "_BYTES", 8 * 4 * 7)  # seven terms at a time
    assert [group.tolist() for group in commuting_groups(terms)] == whole
