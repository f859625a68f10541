"""STCH: a smooth maximum of the losses, which reaches every point of the front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.ledger import Ledger
from cotrain.balance.positive import checked_losses, reciprocal
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


def stch_weights(losses: Tensor, reference: Tensor, mu: float) -> Tensor:
    """w_k = T softmax_k(log(l_k / reference_k) / mu) / l_k, all [T]: the derivative of T mu log sum_k (l_k/reference_k)^(1/mu)."""
    alive = losses > 0
    levels = torch.where(alive, losses, 1.0).log() - reference.log()
    share = torch.softmax((levels / mu).masked_fill(~alive, -torch.inf), dim=0).nan_to_num(0.0)
    return len(losses) * share * reciprocal(losses)


@final
class STCH(CarefulWeigher):
    """L = T mu log sum_k exp(log(l_k / n_k) / mu), with n_k the mean loss at the end of a warm-up on sum_k log l_k.

    mu -> 0 is the largest relative loss alone, mu -> infinity the sum of logs. `mu` 1 is the authors' value for NYUv2 and
    QM9. They warm up for four epochs and average the losses over the fifth; epochs are unknown here, so `warmup` counts steps in
    which the task was present, and the last fifth of them makes the average. Until every present task has its n_k the rule is
    `Log`'s. Raises ConfigError for mu <= 0 or warmup < 1, TrainingError for a negative loss.

    Source: Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", ICML 2024; the log and
    the warm-up are those of the authors' multi-task code (Xi-L/STCH, STCH_MTL).

    >>> stch = STCH(warmup=1)
    >>> stch.weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [0.5, 2.0]
    >>> stch.weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=1)).tolist()       # nothing has moved: the same
    [0.5, 2.0]
    """

    name: ClassVar[str] = "stch"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Lin et al., Smooth Tchebycheff Scalarization for Multi-Objective Optimization, ICML 2024"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, mu: float = 1.0, warmup: int = 500) -> None:
        super().__init__()
        if not mu > 0 or warmup < 1:
            raise ConfigError(
                f"stch: mu is positive and warmup at least 1 step; got {mu} and {warmup}; mu=1, warmup=500 will do"
            )
        self._mu, self._warmup = mu, warmup
        self._silent = warmup - max(1, warmup // 5)
        self._ledger = Ledger([0.0, 0.0])  # steps in which the task was present, sum of its losses over the last fifth

    def answer(self, seen: Seen) -> Tensor:
        """The derivative of L [T]."""
        losses = checked_losses(seen, "STCH")
        steps, total = self._ledger.read(seen.tasks, losses)
        ready = bool((steps >= self._warmup).all()) and bool((total > 0).all())
        weights = stch_weights(losses, total / (self._warmup - self._silent), self._mu) if ready else reciprocal(losses)
        counted = (steps >= self._silent) & (steps < self._warmup)
        self._ledger.write(seen.tasks, torch.stack((steps + 1, total + losses * counted)))
        return weights

    def own_state(self) -> dict[str, Any]:
        """Steps and sums by task."""
        return self._ledger.state_dict()

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._ledger.load_state_dict(state)
