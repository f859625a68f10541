"""IMTL-G: a direction with the same projection on every task's gradient."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import balanced, norms_and_cosines
from cotrain.balance.protocol import Family, Seen


def imtlg_weights(gramian: Tensor) -> Tensor:
    """w = v / |sum v| with v = C^+ 1 / n, for a Gramian [T, T] with positive diagonal n^2 and cosines C.

    G w is then proportional to n: <g_k, d> / |g_k| is the same for all k.
    """
    norms, cosines = norms_and_cosines(gramian)
    weights = balanced(cosines) / norms
    total = weights.sum().abs()
    size = weights.abs().sum()
    return weights / torch.where(total > 1e-9 * size, total, size)


@final
class IMTLG(GramianWeigher):
    """<g_k, d> / |g_k| the same for every task, d = sum_k w_k g_k, sum_k w_k = 1.

    In closed form w ~ G^+ (|g_1|, ..., |g_T|); for two tasks w_k ~ 1 / |g_k|. The paper's formula inverts a matrix of
    differences that is singular for dependent gradients; the pseudo-inverse of the cosine matrix (eigenvalues below 1e-12 of the
    largest left out) is the same where that inverse exists. Weights may be negative. Where their sum is negative, dividing by it
    as the paper does would turn d into an ascent direction for every task: the absolute value is used, so that the common
    projection is never negative; where the sum is zero the weights' absolute sum is made one. Where no direction with equal
    projections exists (opposite rows) w_k ~ 1 / |g_k|.

    The direction of d does not change when a task's loss is rescaled. Promises: equal projections, where linearly independent
    gradients make them possible.

    Source: Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, gradient balance; for dependent gradients
    Quinton and Rey, arXiv:2406.16232, 2024.

    >>> gramian = torch.tensor([[1.0, 0.3], [0.3, 9.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in IMTLG().weights(gramian).tolist()]
    [0.75, 0.25]
    """

    name: ClassVar[str] = "imtl_g"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, gradient balance"
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        return imtlg_weights(gramian_of(seen))
