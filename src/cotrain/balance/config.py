"""ConFIG: the same cosine with every task's gradient."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.cosines import balanced, norms_and_cosines
from cotrain.balance.protocol import Family, Seen


def config_weights(gramian: Tensor) -> Tensor:
    """w [T] for a Gramian [T, T] with positive diagonal n^2 and cosines C: with a = C^+ 1 and the unit vector x along
    sum_k a_k g_k / n_k, d = (sum_k <g_k, x>) x.
    """
    norms, cosines = norms_and_cosines(gramian)
    mixture = balanced(cosines)
    square = (mixture @ cosines @ mixture).clamp_min(0.0)
    projections = (norms * (cosines @ mixture)).sum()
    usable = square > 1e-18 * mixture.square().sum()
    return torch.where(usable, projections / torch.where(usable, square, 1.0), 1.0) * mixture / norms


@final
class ConFIG(GramianWeigher):
    """cos(g_k, d) the same for every task, |d| = sum_k |g_k| cos(g_k, d).

    The direction is U^+ 1 with U the unit gradients; it lies in their span, so that with the cosine matrix C [T, T] it is
    sum_k a_k g_k / |g_k|, a = C^+ 1: T x T work where the authors (and TorchJD) take the pseudo-inverse of a T x P matrix.
    Eigenvalues of C below 1e-12 of the largest are left out. All tasks are preferred alike. Weights may be negative. Where no
    direction with equal cosines exists (opposite rows) w_k ~ 1 / |g_k|, and d vanishes with them. The momentum variant
    (M-ConFIG) needs an optimiser state a task and is not offered.

    Promises: equal cosines, where linearly independent gradients make them possible; the direction does not change when a
    task's loss is rescaled.

    Source: Liu, Chu, Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks", ICLR 2025,
    equation 2 (length checked in the authors' documentation, ProjectionLength).

    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in ConFIG().weights(gramian).tolist()]     # direction (1, 1)/sqrt 2, length 4/sqrt 2
    [2.0, 0.666667]
    """

    name: ClassVar[str] = "config"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Liu, Chu, Thuerey, ConFIG, ICLR 2025, eq. 2"
    cost: ClassVar[str] = "1 Gramian step"

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]."""
        return config_weights(gramian_of(seen))
