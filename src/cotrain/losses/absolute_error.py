"""Absolute error, the loss whose best constant is the median."""

from __future__ import annotations

from torch import Tensor

from cotrain.core.fields import Field, weighted


def absolute_error(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w |y - t| over cells, and sum w. output: [N, C]; target.values: [N, C], or [N] for C = 1."""
    return weighted((output.reshape(target.values.shape).to(target.values.dtype) - target.values).abs(), target, weight)
