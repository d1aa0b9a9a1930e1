"""The wave equation ∂²u/∂t² = c(x, y)² Δu on the unit square, by finite differences.

Leapfrog in time and the five-point Laplacian in space, both of second order. It is stable while the Courant
number c · dt / h is at most 1/√2 everywhere. A boundary either reflects (u = 0) or absorbs: there, u leaves
along the normal, ∂u/∂t = -c ∂u/∂n, by upwind differences of first order (Engquist and Majda).
"""

import math

import torch
from torch import Tensor

LARGEST_COURANT = 1 / math.sqrt(2)


def propagate(
    before: Tensor, now: Tensor, speed: Tensor, courant: float, steps: int, *, absorbing: bool
) -> tuple[Tensor, Tensor]:
    """Take time steps.

    Args:
        before: u one step ago, shape (..., n, n), on the grid points including those of the boundary.
        now: u, of the same shape.
        speed: c of the same shape; the largest possible is 1.
        courant: dt / h, at most 1/√2.
        steps: How many.
        absorbing: Whether the boundary absorbs; it reflects otherwise.

    Returns:
        u one step before the end, and at the end.
    """
    if not 0 < courant <= LARGEST_COURANT:
        raise ValueError(f"courant={courant} must be in (0, {LARGEST_COURANT:.4f}]: more is not stable")
    ratio = courant * speed
    inner = ratio[..., 1:-1, 1:-1].square()
    for _ in range(steps):
        after = torch.zeros_like(now)
        neighbors = now[..., :-2, 1:-1] + now[..., 2:, 1:-1] + now[..., 1:-1, :-2] + now[..., 1:-1, 2:]
        center = now[..., 1:-1, 1:-1]
        after[..., 1:-1, 1:-1] = 2 * center - before[..., 1:-1, 1:-1] + inner * (neighbors - 4 * center)
        if absorbing:
            for edge, inside in ((0, 1), (-1, -2)):
                leaving = ratio[..., edge, :] * (now[..., edge, :] - now[..., inside, :])
                after[..., edge, :] = now[..., edge, :] - leaving
                leaving = ratio[..., :, edge] * (now[..., :, edge] - now[..., :, inside])
                after[..., :, edge] = now[..., :, edge] - leaving
        before, now = now, after
    return before, now


def convergence_order(points: int = 17) -> float:
    """Order at which the error of a standing wave falls when the grid is halved; 2 is expected.

    The wave is sin(2πx) sin(πy) cos(√5 π t) with c = 1 between reflecting boundaries, until t = 1.
    """
    errors = []
    for size in (points, 2 * points - 1):
        line = torch.linspace(0, 1, size, dtype=torch.float64)
        shape = torch.sin(2 * math.pi * line)[:, None] * torch.sin(math.pi * line)
        courant, steps = 0.5, 2 * (size - 1)
        frequency, step = math.sqrt(5) * math.pi, 0.5 / (size - 1)
        start = math.cos(-frequency * step) * shape, shape
        _, found = propagate(*start, torch.ones_like(shape), courant, steps, absorbing=False)
        errors.append(float((found - math.cos(frequency) * shape).abs().max()))
    return math.log2(errors[0] / errors[1])


def smooth(number: int, size: int, width: float, generator: torch.Generator) -> Tensor:
    """Random fields of zero mean and unit variance without details below a width, in grid points."""
    frequency = torch.fft.fftfreq(size)
    decay = torch.exp(-2 * (math.pi * width) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    field = torch.fft.ifft2(torch.fft.fft2(torch.randn(number, size, size, generator=generator)) * decay).real
    field = field - field.mean((-2, -1), keepdim=True)
    return field / field.std((-2, -1), keepdim=True)


def samples(
    waves: int, per_wave: int, size: int, steps: int, seed: int, courant: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Pairs of what is known and what follows `steps` later, between absorbing boundaries.

    Args:
        waves: Number of speed maps, each with its own start.
        per_wave: Pairs along the way of each, `steps` apart.
        size: Grid points along each axis.
        steps: Time steps from the known fields to the one that follows.
        seed: Random seed.
        courant: dt / h.

    Returns:
        Two successive fields and the speed, float32 (waves · per_wave, 3, size, size), and the field later,
        (waves · per_wave, 1, size, size). All fields of a pair are divided by the rms of its known ones.
    """
    generator = torch.Generator().manual_seed(seed)
    speed = (0.7 + 0.15 * smooth(waves, size, 3.0, generator)).clamp(0.4, 1.0)
    line = torch.hann_window(size, periodic=False).sqrt()  # nothing at the boundary
    now = smooth(waves, size, 1.5, generator) * line[:, None] * line
    before = now
    known, later = [], []
    for _ in range(per_wave):
        scale = torch.stack([before, now], 1).square().mean((1, 2, 3)).sqrt()[:, None, None, None]
        inputs = torch.stack([before, now], 1) / scale
        known.append(torch.cat([inputs, speed[:, None]], 1))
        before, now = propagate(before, now, speed, courant, steps, absorbing=True)
        later.append(now[:, None] / scale)
    return torch.cat(known), torch.cat(later)
