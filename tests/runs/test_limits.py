"""Limits are named in one line, with the variable that changes them."""

import pytest

from bondwise.runs import UsageError, limit, require_within


def test_more_than_the_limit_is_refused_and_the_variable_raises_it(monkeypatch):
    require_within("qubits", limit("qubits"), "a.qasm")
    with pytest.raises(
        UsageError, match=r"^a\.qasm has 10,001 qubits; the limit is 10,000, .*BONDWISE_MAX_QUBITS"
    ):
        require_within("qubits", limit("qubits") + 1, "a.qasm")
    with pytest.raises(UsageError, match=r"more than 10\^18 operations"):
        require_within("operations", 2**4000, "a.qasm")
    monkeypatch.setenv("BONDWISE_MAX_QUBITS", "20000")
    require_within("qubits", 20_000, "a.qasm")


@pytest.mark.parametrize("given", ["", "many", "-1", "1e9", "9" * 5000])
def test_variable_that_is_no_number(monkeypatch, given):
    monkeypatch.setenv("BONDWISE_MAX_TERMS", given)
    with pytest.raises(UsageError, match="BONDWISE_MAX_TERMS is .* give a whole number"):
        limit("terms")
