"""The plain sum of the losses."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.protocol import Family, Need, Seen


@final
class Sum(CarefulWeigher):
    """Every task weighs one: L = sum_k l_k.

    A sum, not a mean: the trunk's step grows with the number of tasks T, and 1/T of the learning rate gives the mean. Sensible
    when the losses are on one scale (cotrain divides each by the loss of the best constant prediction).

    Source: Caruana, "Multitask Learning", Machine Learning 28, 1997. Kurin et al., "In Defense of the Unitary
    Scalarization for Deep Multi-Task Learning", NeurIPS 2022, show that with tuned regularisation it is hard to beat.

    >>> Sum().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [1.0, 1.0]
    """

    name: ClassVar[str] = "sum"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Caruana, Multitask Learning, Machine Learning 28, 1997"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """Ones [T]."""
        return torch.ones_like(seen.losses)
