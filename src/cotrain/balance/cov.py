"""CoV-Weighting: more weight to losses that still vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.ledger import Ledger
from cotrain.balance.positive import checked_losses
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


@final
class CoV(CarefulWeigher):
    """w_k = c_k / sum_j c_j with c_k = sigma(r_k) / mu(r_k), r_k = l_k / mean of the l_k seen before.

    mu and sigma are the running mean and standard deviation of the loss ratios, up to the step before (Welford's algorithm),
    each over the steps in which the task was present. Weights are 1/T in a task's first two steps, as in the authors' code, and
    while no ratio has varied at all. `decay` None is the full mean; a number in (0, 1) replaces the share (t-1)/t of the past by
    a constant, the authors' `mean_sort decay`. Difference: the authors add 1e-8 to the variance; nothing is added here. Raises
    ConfigError for a decay outside (0, 1), TrainingError for a negative loss.

    Source: Groenendijk et al., "Multi-Loss Weighting with Coefficient of Variations", WACV 2021 (checked against
    the authors' code, rickgroen/cov-weighting).

    >>> cov = CoV()
    >>> for losses in ([1.0, 1.0], [1.0, 0.5], [1.0, 0.5]):
    ...     weights = cov.weigh(Seen(("a", "b"), torch.tensor(losses), step=0))
    >>> weights.tolist()                                                    # the first loss has not varied
    [0.0, 1.0]
    """

    name: ClassVar[str] = "cov"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Groenendijk et al., Multi-Loss Weighting with Coefficient of Variations, WACV 2021"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, decay: float | None = None) -> None:
        super().__init__()
        if decay is not None and not 0 < decay < 1:
            raise ConfigError(
                f"cov: decay is None (full mean) or between 0 and 1; got {decay}; 0.99 forgets over 100 steps"
            )
        self._decay = decay
        self._ledger = Ledger(
            [0.0, 0.0, 0.0, 0.0]
        )  # steps, mean loss, mean ratio, sum of squared deviations of the ratio

    def answer(self, seen: Seen) -> Tensor:
        """c_k / sum c [T]; then the statistics take in this step."""
        losses = checked_losses(seen, "CoV")
        steps, mean_loss, mean_ratio, spread = self._ledger.read(seen.tasks, losses)
        equal = torch.full_like(losses, 1 / len(seen.tasks))
        variation = (spread / steps.clamp_min(1)).clamp_min(0).sqrt() / torch.where(mean_ratio > 0, mean_ratio, 1.0)
        young = steps < 2
        share = variation.masked_fill(young, 0.0)
        total = share.sum()
        settled = share / torch.where(total > 0, total, 1.0) * (1 - equal[young].sum())
        weights = torch.where(young | (total == 0), equal, settled)

        ratio = torch.where(mean_loss > 0, losses / torch.where(mean_loss > 0, mean_loss, 1.0), 1.0)
        kept = steps / (steps + 1) if self._decay is None else torch.where(steps > 0, self._decay, 0.0)
        new_ratio = kept * mean_ratio + (1 - kept) * ratio
        spread = spread + (ratio - mean_ratio) * (ratio - new_ratio)
        new_loss = kept * mean_loss + (1 - kept) * losses
        self._ledger.write(seen.tasks, torch.stack((steps + 1, new_loss, new_ratio, spread)))
        return weights

    def own_state(self) -> dict[str, Any]:
        """The running statistics by task."""
        return self._ledger.state_dict()

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._ledger.load_state_dict(state)
