"""The optimization driver on functions whose minima are known, killed, interrupted and resumed."""

import math
import os
import runpy
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bondwise import qml
from bondwise.qml import StopTraining, Training, check_optimizer, minimize
from bondwise.qml.training.optimizers import OPTIMIZERS
from bondwise.runs import UsageError, load_checkpoint

# Minimizes a bumpy function with a little noise from a generator. As a script, with each optimizer in
# processes that kill themselves, rudely, between two checkpoints or in the middle of writing the third.
SCRIPT = """
import os, signal, sys
import numpy as np, torch
from bondwise.qml import minimize

def train(folder, optimizer, deadly=None, resume=False):
    generator = torch.Generator().manual_seed(5)
    matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(x):
        noise = torch.randn(12, generator=generator, dtype=torch.float64) @ x
        return torch.cos(matrix @ x).sum() + 0.05 * (x**2).sum() + 1e-7 * noise

    def metric(x):
        noise = torch.randn(12, generator=generator, dtype=torch.float64)
        return torch.diag(2 + 1e-7 * noise)

    def kill(step):
        if step.step == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    return minimize(loss, np.linspace(-1, 1, 12), optimizer=optimizer, steps=30, callbacks=[kill],
                    checkpoint=folder + "/c", checkpoint_every=7, resume=resume, generator=generator,
                    metric=metric)

def die_writing():
    replace, writes = os.replace, []

    def dying(*paths):
        writes.append(paths)
        if len(writes) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = dying

if __name__ == "__main__":
    for optimizer in sys.argv[2:]:
        for deadly in (17, None):
            child = os.fork()
            if not child:
                if deadly is None:
                    die_writing()
                train(f"{sys.argv[1]}/{optimizer}/{deadly}", optimizer, deadly)
            print(optimizer, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


# of qng: the metric of no circuit, but one that a step must divide by
METRIC = {"qng": lambda x: 2 * torch.eye(x.numel(), dtype=torch.float64)}


def trained(loss, start, optimizer, seed=3, **settings):
    generator = torch.Generator().manual_seed(seed)
    metric = METRIC.get(optimizer)
    return minimize(loss, start, optimizer=optimizer, metric=metric, generator=generator, **settings)


def quadratic(x):
    return ((x - 3) ** 2 * torch.arange(1, x.numel() + 1).reshape(x.shape)).sum()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_finds_the_minimum(optimizer):
    rate = 0.2 if optimizer == "spsa" else None
    result = trained(quadratic, np.ones((2, 2)), optimizer, learning_rate=rate, steps=600)
    assert result.parameters == pytest.approx(np.full((2, 2), 3.0), abs=0.1 if optimizer == "spsa" else 0.02)
    assert result.value == result.losses.min() <= result.losses[0] / 1e3
    assert result.parameters.dtype == np.float64


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 8))
def test_lbfgs_solves_a_quadratic_to_machine_precision(seed, size):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    matrix = torch.tensor(root @ root.T + np.eye(size))
    solution = torch.tensor(rng.standard_normal(size))
    result = minimize(lambda x: (x - solution) @ matrix @ (x - solution), np.zeros(size), optimizer="lbfgs")
    assert result.parameters == pytest.approx(solution.numpy(), abs=1e-7)
    assert result.converged
    assert "no step left" in result.message


def test_sgd_trace_by_hand():
    seen = []
    result = minimize(
        lambda x: (x**2).sum(), [1.0], optimizer="sgd", learning_rate=0.25, steps=3, callbacks=[seen.append]
    )
    assert result.losses.tolist() == [1, 1 / 4, 1 / 16, 1 / 64]
    assert result.gradient_norms.tolist() == [2, 1, 1 / 2, 1 / 4]
    assert [step.parameters.tolist() for step in seen] == [[1], [0.5], [0.25], [0.125]]
    assert [step.step for step in seen] == [0, 1, 2, 3]
    assert np.all(np.diff(result.seconds) >= 0)
    assert not result.converged
    assert result.message == "all 3 steps were taken"


def test_no_steps_evaluate_the_start():
    result = minimize(quadratic, [1.0], steps=0)
    assert (result.value, result.losses.tolist()) == (4, [4])


def test_best_is_kept_when_the_end_is_worse():
    result = minimize(lambda x: (x**2).sum(), [1.0], optimizer="sgd", learning_rate=1.1, steps=5)
    assert result.parameters.tolist() == [1]
    assert result.value == 1
    assert result.last[0] == pytest.approx(-(1.2**5))


def test_a_revisited_point_is_not_evaluated_again():
    points = []

    def loss(x):
        points.append(tuple(x.tolist()))
        return ((x**2).sum() - 1) ** 2 + x.sum()

    minimize(loss, [1.0, 2.0, -1.0], optimizer="lbfgs", steps=15)
    assert len(points) == len(set(points))


def test_patience_and_tolerance():
    settings = {"optimizer": "sgd", "learning_rate": 0.25, "steps": 500}
    result = minimize(quadratic, [1.0], patience=3, tolerance=1e-3, **settings)
    # losses 4, 1, 1/4, …: the last three steps gained 63/64 of the loss four rows back
    gained = result.losses[-4] - result.losses[-1]
    assert result.converged
    assert gained <= 1e-3 < result.losses[-5] - result.losses[-2]
    assert (
        minimize(quadratic, [1.0], patience=600, tolerance=1e-3, **settings).losses.size > result.losses.size
    )


def test_a_callback_stops():
    def enough(step):
        if step.loss < 1:
            raise StopTraining("good enough")

    result = minimize(quadratic, [1.0], callbacks=[enough])
    assert (result.message, result.converged) == ("good enough", False)
    assert result.losses[-1] < 1 <= result.losses[-2]


@pytest.mark.parametrize("optimizer", sorted(set(OPTIMIZERS) - {"spsa", "cmaes"}))
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_not_finite_loss_stops_with_the_step(optimizer, wrong):
    # infinite as soon as x falls below 1/2
    result = trained(lambda x: torch.where(x > 0.5, x, wrong).sum(), [1.0], optimizer, learning_rate=0.2)
    step = len(result.losses)
    assert not result.converged
    assert f"the loss is not finite at step {step}" in result.message
    assert result.parameters[0] > 0.5
    assert result.value == result.parameters[0] == result.last[0]


@pytest.mark.parametrize("optimizer", ["spsa", "cmaes"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_not_finite_loss_around_the_point_stops_too(optimizer, wrong):
    def cliff(x):
        return torch.where(x.min() > 0.5, x.sum(), wrong)

    result = trained(cliff, [3.0, 3.0], optimizer, learning_rate=0.3, steps=500)
    assert not result.converged
    assert f"the loss is not finite at step {len(result.losses)}" in result.message
    assert result.parameters.min() > 0.5
    assert result.value == pytest.approx(result.parameters.sum())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_leaves_float64_stops(optimizer):
    """The loss is not even asked for what lies beyond the largest number."""
    seen = []

    def loss(x):
        seen.append(x.detach().numpy().copy())
        return torch.atan(x - 1e9).sum() * 1e30

    result = trained(loss, [2.0, 2.0], optimizer, learning_rate=1.7e308, steps=50)
    assert not result.converged
    assert f"the point is not finite at step {len(result.losses)}" in result.message
    assert np.isfinite(seen).all()
    assert np.isfinite(result.last).all()
    assert result.parameters.tolist() in [*map(np.ndarray.tolist, seen), [2, 2]]


def test_not_finite_gradient_and_start():
    result = minimize(lambda x: x.abs().sqrt().sum(), [0.0])
    assert "the gradient is not finite at step 0" in result.message
    assert result.parameters.tolist() == [0]
    assert math.isnan(result.value)
    assert result.losses.size == 0


QUICK = ("adam", "lbfgs", "spsa", "cmaes")


@pytest.mark.parametrize(
    "optimizers", [QUICK, pytest.param(sorted(set(OPTIMIZERS) - set(QUICK)), marks=pytest.mark.slow)]
)
def test_killed_and_resumed_is_the_same_to_the_last_bit(tmp_path, optimizers):
    """Every optimizer, killed between two checkpoints (17) and in the middle of writing one (None)."""
    (tmp_path / "script.py").write_text(SCRIPT)
    for optimizer in optimizers:
        for name in ("whole", "17", "None"):
            (tmp_path / optimizer / name).mkdir(parents=True)
    command = [sys.executable, tmp_path / "script.py", tmp_path, *optimizers]
    died = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert died == [f"{name} {-signal.SIGKILL}" for name in optimizers for _ in range(2)]
    train = runpy.run_path(str(tmp_path / "script.py"))["train"]
    for optimizer in optimizers:
        whole = train(str(tmp_path / optimizer / "whole"), optimizer)
        assert whole.losses.size == 31
        for killed in ("17", "None"):
            resumed = train(str(tmp_path / optimizer / killed), optimizer, resume=True)
            for name in ("parameters", "last", "losses", "gradient_norms"):
                assert getattr(resumed, name).tobytes() == getattr(whole, name).tobytes(), (optimizer, name)
            assert resumed.message == whole.message


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_more_steps_continue_a_finished_run(tmp_path, optimizer):
    start = np.linspace(-1, 1, 5)
    whole = trained(quadratic, start, optimizer, steps=12)
    trained(quadratic, start, optimizer, steps=5, checkpoint=tmp_path / "c")
    # another generator, which the checkpoint sets
    more = trained(quadratic, start, optimizer, seed=8, steps=12, checkpoint=tmp_path / "c", resume=True)
    again = trained(quadratic, start, optimizer, seed=9, steps=12, checkpoint=tmp_path / "c", resume=True)
    for result in (more, again):
        assert result.last.tobytes() == whole.last.tobytes()
        assert result.losses.tobytes() == whole.losses.tobytes()
        assert np.all(np.diff(result.seconds) >= 0)


def test_interrupt_leaves_a_valid_checkpoint(tmp_path):
    def interrupt(step):
        if step.step == 13:
            os.kill(os.getpid(), signal.SIGINT)

    start = np.ones(3)
    options = {"steps": 30, "checkpoint": tmp_path / "c", "checkpoint_every": 5, "run": "r"}
    with pytest.raises(KeyboardInterrupt):
        minimize(quadratic, start, callbacks=[interrupt], **options)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    resumed = minimize(quadratic, start, resume=True, **options)
    assert resumed.last.tobytes() == minimize(quadratic, start, steps=30).last.tobytes()


def test_resume_starts_where_there_is_nothing_yet(tmp_path):
    result = minimize(quadratic, np.ones(3), steps=3, checkpoint=tmp_path / "c", resume=True)
    assert result.losses.size == 4
    assert (tmp_path / "c").exists()


def test_checkpoints_of_others_are_refused(tmp_path):
    path = tmp_path / "c"
    minimize(quadratic, np.ones(3), steps=3, checkpoint=path, run="this")
    content = path.read_bytes()
    with pytest.raises(UsageError, match="exists; write resume=True"):
        minimize(quadratic, np.ones(3), checkpoint=path, run="this")
    for change in ({"run": "that"}, {"optimizer": "lbfgs"}, {"learning_rate": 0.5}):
        with pytest.raises(UsageError, match="another run"):
            minimize(quadratic, np.ones(3), checkpoint=path, resume=True, **{"run": "this", **change})
    with pytest.raises(UsageError, match="another run"):
        minimize(quadratic, np.ones(4), checkpoint=path, resume=True, run="this")
    assert path.read_bytes() == content
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match="damaged"):
        minimize(quadratic, np.ones(3), checkpoint=path, resume=True, run="this")


def test_a_failing_loss_leaves_the_last_checkpoint(tmp_path):
    result = minimize(
        lambda x: torch.where(x > 0.5, x, math.nan).sum(),
        [1.0],
        checkpoint=tmp_path / "c",
        checkpoint_every=4,
    )
    state = load_checkpoint(tmp_path / "c", run=" | adam 0.02 | (1,)")
    assert np.isfinite(state["trace"]).all()
    assert len(state["trace"]) <= len(result.losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adma"}, "unknown optimizer 'adma'. Did you mean 'adam'"),
        ({"optimizer": "newton"}, "Known: adam, cmaes, lbfgs, nadam, qng, rmsprop, sgd, spsa"),
        ({"learning_rate": 0.0}, "learning_rate is .*; give a positive number"),
        ({"learning_rate": math.nan}, "learning_rate is .*; give a positive number"),
        ({"steps": -1}, "steps is -1; give a whole number of at least 0"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"tolerance": math.nan}, "tolerance is nan; give a number of at least 0"),
        ({"resume": True}, "nothing to resume from"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(UsageError, match=message):
        minimize(quadratic, [1.0], **options)


def test_training_that_did_not_improve_says_so():
    training = minimize(lambda x: (x**2).sum(), [1e-3], optimizer="adam", steps=3)
    assert training.parameters.tolist() == [1e-3]
    assert training.value == training.losses[0]
    assert training.message == (
        f"all 3 steps were taken; the training did not improve on its start, {training.losses[0]:.6g} "
        f"(lowest after it: {training.losses[1:].min():.6g}): try L-BFGS or a smaller learning rate"
    )
    assert minimize(quadratic, [1.0], steps=0).message == "all 0 steps were taken"
    assert minimize(quadratic, [1.0], optimizer="sgd", steps=3).message == "all 3 steps were taken"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_loses_its_start(optimizer):
    """If no step leads below the start, it is kept, and the message says so with what to try."""
    calls = []

    def rising(x):
        calls.append(x)
        return len(calls) + 1e-3 * x.sum()

    training = trained(rising, [0.02, -0.01], optimizer, steps=3)
    assert training.parameters.tolist() == [0.02, -0.01]
    assert training.value == training.losses[0] == 1.00001
    if optimizer == "lbfgs":  # its line search ends where it began
        assert training.message == "no step left to take after 0 steps"
        return
    assert training.losses.size == 4
    by_gradient = optimizer not in ("spsa", "cmaes")
    assert training.message == (
        "all 3 steps were taken; the training did not improve on its start, 1.00001 (lowest after it: "
        f"{training.losses[1:].min():.6g}): try {'L-BFGS or ' * by_gradient}a smaller learning rate"
    )


def test_old_spelling():
    with pytest.warns(DeprecationWarning, match="qml.minimise is now bondwise.qml.minimize") as warned:
        assert qml.minimise is minimize
    assert len(warned) == 1
    with pytest.warns(DeprecationWarning, match="qml.minimise is now bondwise.qml.minimize") as warned:
        from bondwise.qml import minimise  # noqa: F401
    assert len(warned) == 1


def test_optimizer_checked_beforehand():
    assert check_optimizer("lbfgs") == 1
    assert check_optimizer("sgd", 0.3) == 0.3
    with pytest.raises(UsageError, match="unknown optimizer 'adma'. Did you mean 'adam'"):
        check_optimizer("adma")
    with pytest.raises(UsageError, match="learning_rate is -1.0; give a positive number"):
        check_optimizer("adam", -1.0)


@pytest.mark.parametrize("start", [[], [math.nan], [[1.0, math.inf]]])
def test_wrong_starts(start):
    with pytest.raises(UsageError, match="finite numbers"):
        minimize(quadratic, start)


@pytest.mark.parametrize("loss", [lambda x: x, lambda x: (x.detach() ** 2).sum(), lambda x: 1.0])
def test_wrong_losses(loss):
    with pytest.raises(UsageError, match="the loss must return one number"):
        minimize(loss, [1.0, 2.0])


def test_result_saves_and_plots(tmp_path):
    result = minimize(quadratic, np.ones(2), steps=4)
    result.save(tmp_path / "r")
    back = Training.load(tmp_path / "r")
    assert back.losses.tobytes() == result.losses.tobytes()
    assert (back.message, back.converged) == (result.message, result.converged)
    assert result.plot().lines[0].get_ydata() == pytest.approx(result.losses)


def test_progress_bar_on_standard_error(capsys):
    minimize(quadratic, [1.0], steps=3, progress="going down")
    captured = capsys.readouterr()
    assert "going down" in captured.err
    assert not captured.out
    minimize(quadratic, [1.0], steps=3)
    assert not capsys.readouterr().err
