"""Nothing is spent on a device without a word from the user, and simulators are never asked about."""

import json
import os
import pty
import sys
from contextlib import contextmanager, nullcontext

import pytest
import typer
from qiskit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2

from bondwise.backends import Backend, get_backend, sample
from bondwise.backends.devices import AnyDeviceSampler
from bondwise.cli.spending import approve
from bondwise.runs import Stopped, UsageError

pytest_plugins = ["bondwise.backends.ibm.fixtures"]


def work(place):
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    return sample(bell, shots=1000, backend=place)


def must_not_run(place):
    raise AssertionError("planned without need")


@pytest.fixture
def device(loopback_ibm):
    yield get_backend("ibm:ibm_manila")
    assert loopback_ibm.jobs == ()  # whatever is asked, nothing is submitted here


@contextmanager
def terminal(typed):
    """A terminal where the user types something."""
    master, slave = pty.openpty()
    os.write(master, typed.encode())
    with pytest.MonkeyPatch.context() as streams, open(slave) as read, open(os.dup(slave), "w") as shown:
        streams.setattr(sys, "stdin", read)
        streams.setattr(sys, "stderr", shown)
        yield
    os.close(master)


@pytest.mark.parametrize("name", ["statevector", "aer", "fake:manila"])
def test_simulators_are_not_asked_about(name, capsys):
    assert approve(get_backend(name), must_not_run, most_seconds=0) is None
    assert capsys.readouterr().out == ""


def test_a_dry_run_prints_the_plan_and_stops(capsys):
    with pytest.raises(typer.Exit) as stop:
        approve(get_backend("fake:manila"), work, dry_run=True)
    assert stop.value.exit_code == 0
    assert "1 job, 1 PUB, 1 circuit, 1,000 shots" in capsys.readouterr().out


def test_a_dry_run_prints_json(device, capsys):
    with pytest.raises(typer.Exit):
        approve(device, work, dry_run=True, json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["backend"], found["jobs"], found["shots"]) == ("ibm:ibm_manila", 1, 1000)
    assert 2.25 < found["qpu_seconds"] < 2.3
    assert found["waiting_jobs"] == 0


def test_without_a_terminal_a_device_needs_yes(device, capsys):
    with pytest.raises(UsageError, match=r"^ibm:ibm_manila is a device .* about 2\.3 s .* --yes"):
        approve(device, work)
    assert approve(device, work, yes=True).shots == 1000
    assert "Plan for ibm:ibm_manila" in capsys.readouterr().err
    approve(device, work, yes=True, quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False)]
)
def test_on_a_terminal_the_user_is_asked(device, answer, agreed, capsys):
    refusal = nullcontext() if agreed else pytest.raises(Stopped, match="nothing was submitted")
    with terminal(answer), refusal:
        assert approve(device, work).jobs == 1
    assert capsys.readouterr().out == ""  # results only


def test_the_limit_is_kept(device):
    with pytest.raises(UsageError, match=r"about 2\.3 s on ibm:ibm_manila, more than --max-qpu-seconds 2;"):
        approve(device, work, yes=True, most_seconds=2)
    with pytest.raises(UsageError, match="more than --max-qpu-seconds 1"):
        approve(device, work, dry_run=True, most_seconds=1)
    assert approve(device, work, yes=True, most_seconds=2.5).qpu_seconds < 2.5
    with pytest.raises(UsageError, match="max_qpu_seconds is -1"):
        approve(device, work, yes=True, most_seconds=-1)


def test_a_limit_that_cannot_be_checked_is_refused(device):
    silent = GenericBackendV2(2, seed=0, noise_info=False)  # it reports no durations
    machine = Backend(
        "silent", sampler=AnyDeviceSampler(silent, local=False), target=silent.target, noisy=True
    )
    with pytest.raises(UsageError, match="silent does not report how long"):
        approve(machine, work, yes=True, most_seconds=60)
    assert approve(machine, work, yes=True, quiet=True).qpu_seconds is None

    def open_ended(place):
        circuit = QuantumCircuit(9)
        circuit.h(range(9))
        sample(circuit, shots=9, backend=place, post_select={"meas": "0" * 9})

    torino = get_backend("fake:torino")
    hardware = Backend("wide", sampler=AnyDeviceSampler(_Device(), local=False), target=torino.target)
    with pytest.raises(UsageError, match="depends on results"):
        approve(hardware, open_ended, yes=True, most_seconds=60)


class _Device(GenericBackendV2):
    """A device that must not run."""

    def __init__(self):
        super().__init__(9, seed=0)

    def run(self, run_input, **options):
        raise AssertionError("a job was submitted")
