"""A state that is costly to prepare and that several tests share."""

import pytest
from helpers import heisenberg, staircase

from bondwise.tn import GroundState, ground_state


@pytest.fixture(scope="session")
def heisenberg12() -> GroundState:
    """Ground state of the open Heisenberg chain of 12 sites."""
    return ground_state(heisenberg(staircase(12), 12), 32, seed=0)
