"""Homoscedastic uncertainty: a learnt noise level for each task, as published in 2018 and as revised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.learnt import Learnt
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError

Regularizer = Literal["kendall", "revised"]


def uncertainty_slope(losses: Tensor, log_variance: Tensor, factor: Tensor, regularizer: Regularizer) -> Tensor:
    """The derivative [T] of the objective by s = log sigma^2; losses, log_variance, factor are [T].

    kendall: d/ds (c e^-s l + s/2) = 1/2 - c e^-s l.     revised: d/ds (c e^-s l + log(1 + e^s)) = 1/(1 + e^-s) - c e^-s l.
    """
    pull = torch.full_like(losses, 0.5) if regularizer == "kendall" else torch.sigmoid(log_variance)
    return pull - factor * torch.exp(-log_variance) * losses


@final
class Uncertainty(CarefulWeigher):
    """w_k = c_k / sigma_k^2 with sigma_k learnt: L = sum_k c_k e^{-s_k} l_k + s_k / 2, s_k = log sigma_k^2.

    c_k = `factor`: 1/2 for a Gaussian likelihood (squared error), 1 for a softmax one (cross-entropy), as derived in the paper;
    one number for all, or one by task name (tasks not named have 1/2). Default 1/2 for all, as the authors' notebook, nash-mtl
    and LibMTL do. `regularizer="revised"` replaces s/2 = log sigma by log(1 + sigma^2), so that the objective cannot fall below
    zero however small the losses.

    s_k steps at each call by its own Adam (no weight decay), on the losses just seen, after the weights were given: as when it
    sits beside the network in one optimiser. `lr` 0.025 is the rate of method parameters in nash-mtl's experiments; s starts
    at 0 there too (LibMTL: -0.5). At the optimum over s, kendall gives w_k = 1 / (2 l_k): the direction of `Log`.

    Differences: the constants s/2 of absent tasks are not seen. Errors: ConfigError for an unknown regularizer, a factor or lr
    that is not positive.

    Source: Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics",
    CVPR 2018 (checked against nash-mtl's code). Revised: Liebel and Koerner, "Auxiliary Tasks in Multi-task Learning",
    arXiv:1805.06334, 2018: 1/(2 sigma^2) l + ln(1 + sigma^2) (checked in public code that implements it).

    >>> Uncertainty().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0)).tolist()
    [0.5, 0.5]
    """

    name: ClassVar[str] = "uncertainty"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Kendall, Gal, Cipolla, CVPR 2018; revised: Liebel, Koerner, arXiv:1805.06334, 2018"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(
        self,
        *,
        regularizer: Regularizer = "kendall",
        factor: float | Mapping[str, float] = 0.5,
        lr: float = 0.025,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        if regularizer not in ("kendall", "revised"):
            raise ConfigError(
                f"uncertainty: regularizer is 'kendall' or 'revised'; got '{regularizer}'; choose one of the two"
            )
        factors = dict(factor) if isinstance(factor, Mapping) else {}
        self._factor = 0.5 if isinstance(factor, Mapping) else float(factor)
        for value in (self._factor, lr, *factors.values()):
            if not value > 0:
                raise ConfigError(
                    f"uncertainty: factor and lr must be positive; got {value}; 0.5 and 0.025 are the defaults"
                )
        self._factors = factors
        self._regularizer: Regularizer = regularizer
        self._log_variance = Learnt(lr=lr, start=start)

    def answer(self, seen: Seen) -> Tensor:
        """c_k e^{-s_k} [T]; then s steps."""
        factor = seen.losses.new_tensor([self._factors.get(task, self._factor) for task in seen.tasks])
        log_variance = self._log_variance.read(seen.tasks, seen.losses)
        self._log_variance.step(seen.tasks, uncertainty_slope(seen.losses, log_variance, factor, self._regularizer))
        return factor * torch.exp(-log_variance)

    def own_state(self) -> dict[str, Any]:
        """s by task, and its Adam."""
        return {"log_variance": self._log_variance.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._log_variance.load_state_dict(state["log_variance"])
