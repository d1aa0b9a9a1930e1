"""Error mitigation: from noisy expectation values to estimates of the noise-free ones.

`MitigatedEstimator` wraps any backend and is itself an estimator, so that the verbs of `bondwise.backends`,
Qiskit's algorithms and the training in `bondwise.qml` use it like a backend: it undoes readout errors, runs
each circuit at several noise strengths, and extrapolates to zero noise. The steps are also available one by
one: `fold_global`, `fold_local` and `fold_gates` amplify the noise of a circuit, a `NoiseScan` holds the
values measured at each strength, `near_clifford_twins` are circuits whose noise-free values calibrate it,
and the `extrapolate_…` functions take a scan to zero noise. Noise that is known is inverted by
`mitigate_by_tensor_network` instead.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
