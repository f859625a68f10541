"""The common length of the weights: the engine's affair, not the method's."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Length = Literal["norm", "paper"]


def lengthened(weights: Tensor, gramian: Tensor, layer_gramians: Tensor | None) -> Tensor:
    """`weights` [T] or [L, T] times the factor that makes sum_k |w_k g_k| = sum_k |g_k|.

    gramian: [T, T] of the gradients g_k; layer_gramians: [L, T, T], used where weights differ by layer
    (|w_k g_k|^2 = sum_l w_lk^2 |g_lk|^2). Weights or gradients that are all zero stay as they are: the step vanishes at a
    stationary point.

    >>> import torch
    >>> lengthened(torch.tensor([0.5, 0.5]), torch.diag(torch.tensor([4.0, 16.0])), None)
    tensor([1., 1.])
    """
    squares = [max(value, 0.0) for value in gramian.diagonal().tolist()]
    whole = sum(math.sqrt(value) for value in squares)
    if weights.dim() == 2 and layer_gramians is not None:
        by_layer = layer_gramians.diagonal(dim1=-2, dim2=-1).clamp_min(0)
        weighted = float((weights.square() * by_layer).sum(0).sqrt().sum())
    else:
        weighted = sum(abs(weight) * math.sqrt(value) for weight, value in zip(weights.tolist(), squares, strict=True))
    factor = whole / weighted if weighted > 0 else 1.0
    return weights * factor if math.isfinite(factor) else weights
