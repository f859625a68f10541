"""The primary error under many weightings of the same rows at once, for intervals by resampling.

Shapes: R weightings, N rows. Each function answers [R] errors, lower is better, equal to the metric of `scores` under that weighting.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cotrain.core.fields import Field, cell_weight
from cotrain.core.spec import Task
from cotrain.tasks.calibration import calibrated
from cotrain.tasks.scores import Array, error_of, held_rows

SLOW_REPLICATES = 100
"""Metrics without a fast form are computed one weighting at a time, and for this many only."""

AT_ONCE = 32
"""Weightings that are sorted at a time: bounds the memory on large test splits."""

Reweighted = Callable[[Array], Array]


def of_mean(element: Array, *, root: bool = False) -> Reweighted:
    """The weighted mean of an error per row (its root where asked): 1 - accuracy, MAE, log loss, RMSE."""

    def errors(weights: Array) -> Array:
        total = weights.sum(1)
        mean: Array = np.divide(weights @ element, total, out=np.full(len(weights), np.nan), where=total > 0)
        return np.sqrt(mean) if root else mean

    return errors


def of_kappa(guess: Array, truth: Array) -> Reweighted:
    """1 - quadratic weighted kappa of two ranks a row: sum w (a - b)^2 over what it would be if the two were independent.

    kappa = 1 - sum w (a - b)^2 / (sum w a^2 + sum w b^2 - 2 (sum w a) (sum w b) / sum w); NaN where both are one and the same rank.

    Source: J. Cohen, Weighted kappa, Psychological Bulletin 70, 1968.
    """
    moments = np.stack([guess, truth, guess**2 + truth**2, (guess - truth) ** 2], 1).astype(np.float64)

    def errors(weights: Array) -> Array:
        total = weights.sum(1)
        one, other, squares, apart = (weights @ moments).T
        alone = squares - 2 * np.divide(one * other, total, out=np.zeros(len(weights)), where=total > 0)
        out: Array = np.divide(
            apart, alone, out=np.full(len(weights), np.nan), where=alone > 1e-9 * np.maximum(squares, 1e-300)
        )
        return out

    return errors


def of_auc(score: Array, truth: Array) -> Reweighted:
    """1 - area under the ROC curve: the weighted share of (positive, negative) pairs ordered wrongly, ties counting half."""
    order = np.argsort(score, kind="stable")
    ranked, positive = score[order], truth[order] > 0.5
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def errors(weights: Array) -> Array:
        if not len(order):
            return np.full(len(weights), np.nan)
        return np.concatenate([some(weights[begin : begin + AT_ONCE]) for begin in range(0, len(weights), AT_ONCE)])

    def some(weights: Array) -> Array:
        ordered = weights[:, order]
        up = np.add.reduceat(ordered * positive, starts, axis=1)
        down = np.add.reduceat(ordered * ~positive, starts, axis=1)
        above = down.sum(1, keepdims=True) - np.cumsum(down, 1)
        wrong = (up * (above + 0.5 * down)).sum(1)
        pairs = up.sum(1) * down.sum(1)
        out: Array = np.divide(wrong, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
        return out

    return errors


def errors_under(task: Task, output: Tensor, target: Field, weight: Tensor | None, counts: Array) -> Array:
    """[R] the task's primary error when row b counts `counts[r, b]` times. Metrics without a fast form: the first 100 weightings only."""
    metric = task.metrics.primary
    fast = _fast(task, metric, output, target, weight)
    if fast is not None:
        cells = cell_weight(target, weight)
        cells = cells if cells.dim() == 1 else cells.amax(1)
        keep = (cells > 0).cpu().numpy()
        return fast(counts[:, keep] * cells.double().cpu().numpy()[keep])
    base = torch.ones(len(target)) if weight is None else weight.cpu()
    errors = []
    for row in counts[:SLOW_REPLICATES]:
        scores = task.metrics.score(output, target, base * torch.from_numpy(row))
        errors.append(error_of(metric, scores[metric]))
    return np.array(errors)


def _fast(task: Task, metric: str, output: Tensor, target: Field, weight: Tensor | None) -> Reweighted | None:
    """The batched form of a metric where one value a row makes it possible, else None."""
    if target.offsets is not None:
        return None
    kind = task.kind
    guess, truth, _ = held_rows(output, target, weight)
    if not np.isfinite(guess).all():
        return None
    form = getattr(task.metrics, "reweighted", None)
    if form is not None and target.valid is None:
        own: Reweighted | None = form(guess, truth)
        return own
    if kind == "binary":
        logit, label = guess.reshape(-1), truth.reshape(-1)
        if metric == "auc":
            return of_auc(logit, label)
        if metric == "log_loss":
            sure = calibrated(getattr(task.metrics, "calibration", None), logit)
            return of_mean(np.logaddexp(0.0, np.where(label > 0.5, -sure, sure)))
    if kind == "multiclass" and metric == "accuracy":
        return of_mean((guess.argmax(1) != truth).astype(float))
    if kind == "regression" and task.outputs == 1 and metric in ("rmse", "mae"):
        scale = (getattr(task.codec, "scale", ()) or (1.0,))[0]
        apart = (guess.reshape(-1) - truth.reshape(-1)) * scale
        return of_mean(apart**2, root=True) if metric == "rmse" else of_mean(np.abs(apart))
    return None
