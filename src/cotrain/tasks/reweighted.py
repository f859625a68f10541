"""The primary error under many weightings of the same rows at once, for intervals by resampling.

Shapes: R weightings, N rows. Each function answers [R] errors, lower is better, equal to the metric of `scores` under that weighting.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cotrain.tasks.scores import Array

Reweighted = Callable[[Array], Array]


def of_mean(element: Array, *, root: bool = False) -> Reweighted:
    """The weighted mean of an error per row (its root where asked): 1 - accuracy, MAE, log loss, RMSE."""

    def errors(weights: Array) -> Array:
        mean = weights @ element / weights.sum(1)
        return np.sqrt(mean) if root else mean

    return errors


def of_auc(score: Array, truth: Array) -> Reweighted:
    """1 - area under the ROC curve: the weighted share of (positive, negative) pairs ordered wrongly, ties counting half."""
    order = np.argsort(score, kind="stable")
    ranked, positive = score[order], truth[order] > 0.5
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def errors(weights: Array) -> Array:
        ordered = weights[:, order]
        up = np.add.reduceat(ordered * positive, starts, axis=1)
        down = np.add.reduceat(ordered * ~positive, starts, axis=1)
        above = down.sum(1, keepdims=True) - np.cumsum(down, 1)
        wrong = (up * (above + 0.5 * down)).sum(1)
        pairs = up.sum(1) * down.sum(1)
        return np.divide(wrong, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)

    return errors
