"""FAMO: every loss should fall at the same relative rate, watched from the losses alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.learnt import Learnt
from cotrain.balance.positive import reciprocal
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError, TrainingError


def famo_weights(logits: Tensor, excess: Tensor) -> Tensor:
    """w_k = (z_k / D_k) / sum_j (z_j / D_j), z = softmax(logits), D = `excess` [T] >= 0; a task at its minimum gets 0."""
    share = torch.softmax(logits, dim=0) * reciprocal(excess)
    total = share.sum()
    return share / torch.where(total > 0, total, 1.0)


@final
class FAMO(CarefulWeigher):
    """w_k = c z_k / D_k with z = softmax(xi), D_k = l_k - minimum_k, c = 1 / sum_j z_j / D_j; xi learns from the outcome.

    When the next step's losses are seen, xi takes an Adam step along J' delta with J the Jacobian of softmax and delta_k = log
    D_k(before) - log D_k(now): tasks that fell fast lose weight. `gamma` 0.01 is the L2 pull on xi and `lr` 0.025 its rate in
    the authors' famo.py (their published runs use gamma 0.001 to 0.01, their toy problem 0). `minimum`: the least value of a
    loss, one number for all or one by task name (others 0).

    Differences: the outcome is read from the next batch, as in the authors' toy problem, not from a second forward on the same
    batch, so that a step costs one joint step and not four thirds; 1e-8 is not added to D. Tasks absent before or now take no
    part in the update of xi. Clipping the gradient to norm one is the optimiser's affair. Raises TrainingError for a loss below
    its `minimum`, ConfigError for lr <= 0 or gamma < 0.

    Source: Liu et al., "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023 (checked against the
    authors' famo.py).

    >>> FAMO().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()     # z equal at first: w ~ 1 / l
    [0.2, 0.8]
    """

    name: ClassVar[str] = "famo"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, gamma: float = 0.01, lr: float = 0.025, minimum: float | Mapping[str, float] = 0.0) -> None:
        super().__init__()
        if not lr > 0 or gamma < 0:
            raise ConfigError(
                f"famo: lr is positive and gamma >= 0; got {lr} and {gamma}; the defaults are 0.025 and 0.01"
            )
        self._minima = dict(minimum) if isinstance(minimum, Mapping) else {}
        self._minimum = 0.0 if isinstance(minimum, Mapping) else float(minimum)
        self._logits = Learnt(lr=lr, decay=gamma)
        self._before: dict[str, float] = {}

    def answer(self, seen: Seen) -> Tensor:
        """First xi learns from what the last step did, then w [T] is given."""
        lowest = torch.tensor([self._minima.get(task, self._minimum) for task in seen.tasks], dtype=torch.float64)
        excess = seen.losses - lowest.to(seen.losses.device)
        now = dict(zip(seen.tasks, excess.tolist(), strict=True))
        for task, value in now.items():
            if value < 0:
                raise TrainingError(
                    f"FAMO needs every loss at or above its minimum; task '{task}' is {-value:.4g} below it at step {seen.step}; "
                    "set minimum={task: its lowest value}"
                )
        both = tuple(task for task in seen.tasks if self._before.get(task, 0.0) > 0 and now[task] > 0)
        if len(both) > 1:
            pairs = torch.tensor([[self._before[task], now[task]] for task in both], dtype=torch.float64).log()
            change = (pairs[:, 0] - pairs[:, 1]).to(seen.losses.device)
            share = torch.softmax(self._logits.read(both, seen.losses), dim=0)
            self._logits.step(both, share * (change - (share * change).sum()))
        self._before = now
        return famo_weights(self._logits.read(seen.tasks, seen.losses), excess)

    def own_state(self) -> dict[str, Any]:
        """Xi by task with its Adam, and the losses to compare with."""
        return {"logits": self._logits.state_dict(), "before": dict(self._before)}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._logits.load_state_dict(state["logits"])
        self._before = {str(task): float(value) for task, value in state["before"].items()}
