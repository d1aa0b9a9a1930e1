"""Tensor networks that start quantum circuits.

A tensor network is trained first, on a laptop, and what it has learnt becomes the starting point of a quantum
circuit. The same code trains, mitigates and runs that circuit on a simulator, on a snapshot of an IBM device,
or on the device itself. Each part is loaded when it is first used:

* `bondwise.tn`: states by DMRG or from data, and the step from a state to a circuit (`decompose`, `fit`)
* `bondwise.qml`: Hamiltonians, starting points, `VQE`, lambeq models; `bondwise.qml.protein`: proteins
* `bondwise.backends`: simulators and devices by name; `sample`, `estimate` and `expectation` run circuits
* `bondwise.mitigation`: from noisy values to noise-free ones (`MitigatedEstimator`)
* `bondwise.circuits`: reading, checking and counting circuits and Pauli sums
* `bondwise.runs`: results, checkpoints and run folders

Example:
    >>> import bondwise as bw
    >>> ising = bw.qml.ising(6)
    >>> circuit, angles = bw.qml.mps_start(1, bw.tn.ground_state(ising, seed=0), seed=0)
    >>> trained = bw.qml.VQE(ising, circuit, optimizer="lbfgs").run(angles, steps=20)
    >>> print(bw.backends.estimate(circuit, ising, trained.parameters, backend="aer", shots=1000, seed=0))
    Estimate: -7.2... ± 0.0..., 2,000 shots, seed 0
"""

_ROOMS = ("backends", "circuits", "mitigation", "qml", "runs", "tn")
__all__ = list(_ROOMS)


# without lazy_loader, which takes milliseconds: here the command does not hear Ctrl-C yet
def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("bondwise")
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
