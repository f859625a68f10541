"""What every kind of task has in common when it is scored: a primary metric, and the primary error that gains are measured in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.fields import Field, cell_weight

Array = NDArray[np.float64]
LOWER_IS_BETTER = frozenset(
    {
        "rmse",
        "rrmse",
        "mae",
        "rmsle",
        "log_loss",
        "joint_log_loss",
        "calibration_error",
        "deviance",
        "pinball",
        "coverage_error",
        "width",
        "hamming_loss",
        "integrated_brier",
    }
)
NEITHER = frozenset({"coverage", "mean_ratio"})
"""Figures that should be near a value of their own (the levels' difference, 1): shown, and never what a task is judged by."""


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of this metric is the better one (a per-column metric such as `rmse/height` as its family)."""
    return metric.partition("/")[0] not in LOWER_IS_BETTER


def error_of(metric: str, value: float) -> float:
    """The error a metric stands for, lower is better: 1 - value for scores whose best is 1, the value itself for errors.

    >>> round(error_of("auc", 0.9), 3), error_of("rmse", 2.5)
    (0.1, 2.5)
    """
    return 1.0 - value if higher_is_better(metric) else value


def held_rows(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Array, Array, Array]:
    """(output, target, weight) of the values that count, as NumPy: [M, ...], [M, ...], [M]. For targets with one value a row or step."""
    cells = cell_weight(target, weight)
    cells = cells if cells.dim() == 1 else cells.amax(1)
    keep = cells > 0
    return (
        output[keep].detach().double().cpu().numpy(),
        target.values[keep].double().cpu().numpy(),
        cells[keep].double().cpu().numpy(),
    )


def calibration_error(probability: Array, hit: Array, weight: Array, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of (weight share) x |mean probability - share of hits|, 15 bins of equal width.

    probability, hit (0 or 1), weight: [N]. NaN where the weights sum to 0.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3. Bins are closed on the left, theirs on the right.

    >>> round(calibration_error(np.array([0.9, 0.9, 0.2, 0.2]), np.array([1.0, 0.0, 0.0, 0.0]), np.ones(4)), 6)
    0.3
    """
    which = np.minimum((probability * bins).astype(int), bins - 1)
    total = np.bincount(which, weight, bins)
    mean = np.bincount(which, weight * probability, bins)
    share = np.bincount(which, weight * hit, bins)
    return float(np.abs(mean - share).sum() / total.sum()) if total.sum() > 0 else math.nan
