"""The quantum natural gradient (Stokes et al., Quantum 4, 269 (2020), arXiv:1909.02108).

A step goes down the gradient as measured in the space of states, not of angles: θ ← θ − η (G + λ)⁻¹ ∇L with
the Fubini–Study metric G, which is whole if the state is known exactly. Elsewhere, as in the paper, it is
the diagonal blocks of G, which a device can measure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from qiskit import QuantumCircuit

from bondwise.backends import Backend
from bondwise.backends.gradients.measured_metric import measured_metric
from bondwise.backends.gradients.metric import metric_tensor
from bondwise.circuits import without_measurements
from bondwise.circuits.files.orders import AngleOrder

DAMPING = 1e-3  # λ: directions that hardly change the state would get steps without bound


def metric_of(
    circuit: QuantumCircuit,
    order: AngleOrder,
    backend: Backend,
    *,
    shots: int | None = None,
    generator: torch.Generator | None = None,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The Fubini–Study metric (P, P) as a function of the angles (P,), both in this order.

    Args:
        circuit: Circuit without mid-circuit measurements and resets.
        order: Order of the angles.
        backend: Where its diagonal blocks are measured; if it knows the state and there are no shots, the
            metric is whole.
        shots: Number of shots per layer, see `estimate`.
        generator: Where each measurement draws its seed from.
    """
    circuit = without_measurements(circuit)

    def metric(angles: torch.Tensor) -> torch.Tensor:
        given = order.to_circuit(angles)
        if backend.dense and shots is None:
            found = metric_tensor(circuit, given)
        else:
            seed = int(torch.randint(2**31, (), generator=generator))
            found = measured_metric(circuit, given, backend, shots=shots, seed=seed)
        back = order.to_circuit(torch.arange(len(angles))).argsort()
        return found[back][:, back]

    return metric


class NaturalGradient(torch.optim.Optimizer):
    """Natural gradient descent on one tensor.

    Args:
        parameters: The tensor, float64, of P numbers in any shape.
        lr: Learning rate η.
        metric: Function from the tensor to the metric, float64 (P, P), positive semidefinite.
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        lr: float,
        metric: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__(parameters, {"lr": lr})
        self._metric = metric

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override] # torch also has one without
        """Take a step from the gradient that the closure leaves at the tensor; returns what it returns."""
        value = closure()
        for group in self.param_groups:
            for point in group["params"]:
                metric = torch.as_tensor(self._metric(point.detach()), dtype=point.dtype)
                damped = metric + DAMPING * torch.eye(len(metric), dtype=point.dtype)
                direction = torch.linalg.solve(damped, point.grad.reshape(-1))
                point.sub_(group["lr"] * direction.reshape(point.shape))
        return value
