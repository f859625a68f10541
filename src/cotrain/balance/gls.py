"""GLS: the geometric mean of the losses."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.positive import checked_losses, reciprocal
from cotrain.balance.protocol import Family, Need, Seen


def geometric_weights(losses: Tensor) -> Tensor:
    """w_k = L / (T l_k) [T] with L = (prod l)^(1/T), the derivative of the geometric mean; tasks with l_k = 0 left out.

    L is exp(mean log l): the product of many small losses would underflow.
    """
    alive = losses > 0
    count = alive.sum().clamp_min(1)
    mean = torch.exp(torch.log(torch.where(alive, losses, 1.0)).sum() / count)
    return mean / count * reciprocal(losses)


@final
class GLS(CarefulWeigher):
    """L = (prod_k l_k)^(1/T), hence w_k = L / (T l_k): `Log`'s direction, with a length that falls with the losses.

    A loss of exactly 0 is left out of the mean and gets weight 0 for that step (the product would be 0 and training would
    stop). Raises TrainingError for a negative loss. The paper's optional focus on chosen tasks (section 3.4) is not offered.

    Source: Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for Multi-Task
    Learning", CVPR workshops 2019, geometric loss strategy.

    >>> GLS().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()      # L = 1
    [0.25, 1.0]
    """

    name: ClassVar[str] = "gls"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Chennupati et al., MultiNet++, CVPR workshops 2019, geometric loss strategy"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """L / (T l_k) [T]."""
        return geometric_weights(checked_losses(seen, "GLS"))
