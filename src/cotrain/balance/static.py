"""Fixed weights, given by hand or found by a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


@final
class Static(CarefulWeigher):
    """L = sum_k w_k l_k with `weights` by task name, >= 0; a task not named weighs 1.

    The baseline every adaptive method should be held against with the same number of trials (Xin et al., "Do Current
    Multi-Task Optimization Methods in Deep Learning Even Help?", NeurIPS 2022). Raises ConfigError for a negative or
    non-finite weight.

    Source: scalarisation with fixed weights, e.g. Caruana, "Multitask Learning", Machine Learning 28, 1997.

    >>> Static(weights={"b": 0.25}).weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [1.0, 0.25]
    """

    name: ClassVar[str] = "static"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "scalarisation with fixed weights; Caruana, Machine Learning 28, 1997"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, weights: Mapping[str, float]) -> None:
        super().__init__()
        for task, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ConfigError(
                    f"static: weights are finite and >= 0; task '{task}' has {weight}; use 0 to leave a task out"
                )
        self._weights = {task: float(weight) for task, weight in weights.items()}

    def answer(self, seen: Seen) -> Tensor:
        """The given weights [T]."""
        return torch.tensor([self._weights.get(task, 1.0) for task in seen.tasks], dtype=torch.float64).to(
            seen.losses.device
        )
