"""Absolute error, the loss whose best constant is the median."""

from __future__ import annotations

from torch import Tensor

from cotrain.core.fields import Field, weighted
from cotrain.losses.aligned import aligned


def absolute_error(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w |y - t| over cells, and sum w. output y: [N, C]; target.values t: [N, C], or [N] for C = 1.

    Without `valid` a row counts once and its columns are averaged.
    """
    guess, truth = aligned(output, target)
    return weighted((guess - truth).abs(), target, weight)
