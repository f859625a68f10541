"""The common length of the weights: the engine's affair, not the method's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Length = Literal["norm", "paper"]


def lengthened(weights: Tensor, gramian: Tensor, layer_gramians: Tensor | None) -> Tensor:
    """`weights` [T] or [L, T] times the factor that makes sum_k |w_k g_k| = sum_k |g_k|.

    gramian: [T, T] of the gradients g_k; layer_gramians: [L, T, T], used where weights differ by layer
    (|w_k g_k|^2 = sum_l w_lk^2 |g_lk|^2). Weights or gradients that are all zero stay as they are: the step vanishes at a
    stationary point.

    >>> lengthened(torch.tensor([0.5, 0.5]), torch.diag(torch.tensor([4.0, 16.0])), None)
    tensor([1., 1.])
    """
    norms = gramian.diagonal().clamp_min(0).sqrt()
    if weights.dim() == 2 and layer_gramians is not None:
        by_layer = layer_gramians.diagonal(dim1=-2, dim2=-1).clamp_min(0)
        weighted = (weights.square() * by_layer).sum(0).sqrt().sum()
    else:
        weighted = (weights.abs() * norms).sum()
    factor = torch.where(weighted > 0, norms.sum() / weighted.clamp_min(torch.finfo(weights.dtype).tiny), 1.0)
    return weights * torch.where(factor.isfinite(), factor, torch.ones_like(factor))
