"""The sum of the losses' logarithms, which no rescaling of a loss can change."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.positive import checked_losses, reciprocal
from cotrain.balance.protocol import Family, Need, Seen


@final
class Log(CarefulWeigher):
    """L = sum_k log l_k, hence w_k = 1 / l_k.

    Every task's relative improvement counts alike. This is where `Uncertainty` and `IMTLL` settle once their scales have
    converged, and the direction of `GLS`. A loss of exactly 0 gets weight 0 for that step. Raises TrainingError for a negative
    loss.

    Source: the scale-invariant baseline of Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022
    ("SI", scaleinvls in the authors' code, whose optional task weights are `Static`'s matter here).

    >>> import torch
    >>> Log().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [0.5, 2.0]
    """

    name: ClassVar[str] = "log"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "the scale-invariant baseline of Navon et al., ICML 2022"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self) -> None:
        super().__init__()

    def answer(self, seen: Seen) -> Tensor:
        """1 / l_k [T]."""
        return reciprocal(checked_losses(seen, "Log"))
