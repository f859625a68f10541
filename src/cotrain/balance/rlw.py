"""RLW: new random weights at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.draws import Draws
from cotrain.balance.protocol import Family, Need, Seen


@final
class RLW(CarefulWeigher):
    """w = softmax(z), z ~ N(0, 1) drawn anew for every step and task.

    The weights sum to one, as in the paper: beside `Sum` the learning rate is 1/T as large under `length="paper"`. Draws come
    from the method's own generator (`seed`, kept in `state_dict`) in the order of the tasks' names, so that a resumed run, and
    the same tasks in another order, see the same weights. The paper also tries other distributions than the normal one; this
    is the one its tables name RLW.

    Source: Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning", TMLR 2022,
    algorithm 2.

    >>> weights = RLW(seed=0).weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0))
    >>> round(float(weights.sum()), 6)
    1.0
    """

    name: ClassVar[str] = "rlw"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022, algorithm 2"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self._draws = Draws(seed)

    def answer(self, seen: Seen) -> Tensor:
        """softmax(z) [T]."""
        return torch.softmax(self._draws.normal(seen.tasks).to(seen.losses.device), dim=0)

    def own_state(self) -> dict[str, Any]:
        """The generator."""
        return self._draws.state_dict()

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._draws.load_state_dict(state)
