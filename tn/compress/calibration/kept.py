"""Moments as nested data that a file can hold, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from bondwise.tn.compress.calibration.metric import Metric
from bondwise.tn.compress.calibration.moments import Moments


def packed_moments(moments: Moments) -> dict[str, Any]:
    """The tensors of all metrics; layers that are given the same tensor share one covariance of it."""
    metrics = {
        name: {field.name: getattr(metric, field.name) for field in fields(metric)}
        for name, metric in moments.metrics.items()
    }
    for name, leader in moments.leaders.items():
        if name != leader and name in metrics:
            metrics[name]["inputs"] = None
    return {"metrics": metrics, "leaders": dict(moments.leaders)}


def unpacked_moments(packed: dict[str, Any]) -> Moments:
    """The reverse."""
    leaders, metrics = packed["leaders"], packed["metrics"]
    for name, leader in leaders.items():
        if name != leader and name in metrics:
            metrics[name]["inputs"] = metrics[leader]["inputs"]
    return Moments({name: Metric(**metric) for name, metric in metrics.items()}, leaders)
