"""IMTL-L: a learnt scale that brings every loss to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.learnt import Learnt
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


@final
class IMTLL(CarefulWeigher):
    """L = sum_k e^{s_k} l_k - s_k with s_k learnt, hence w_k = e^{s_k}.

    ds_k = e^{s_k} l_k - 1: at the optimum e^{s_k} l_k = 1 and w_k = 1 / l_k, the direction of `Log`. s starts at 0 (LibMTL) and
    steps after each answer by its own Adam without weight decay; `lr` 0.025 is nash-mtl's rate for what methods learn (the
    paper lets the network's optimiser move s). Raises ConfigError for lr <= 0.

    Source: Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021, loss balance, with base e (checked against
    LibMTL's code).

    >>> IMTLL().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [1.0, 1.0]
    """

    name: ClassVar[str] = "imtl_l"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, loss balance"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, lr: float = 0.025) -> None:
        super().__init__()
        if not lr > 0:
            raise ConfigError(f"imtl_l: lr must be positive; got {lr}; 0.025 is the default")
        self._scale = Learnt(lr=lr)

    def answer(self, seen: Seen) -> Tensor:
        """e^{s_k} [T]; then s steps."""
        weights = torch.exp(self._scale.read(seen.tasks, seen.losses))
        self._scale.step(seen.tasks, weights * seen.losses - 1)
        return weights

    def own_state(self) -> dict[str, Any]:
        """The scales by task, and their Adam."""
        return {"scale": self._scale.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._scale.load_state_dict(state["scale"])
