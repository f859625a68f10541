"""CR-MOGM: any method's weights, smoothed over steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import sound_tasks
from cotrain.balance.ledger import Ledger
from cotrain.balance.protocol import Family, Seen, Weigher
from cotrain.core.errors import ConfigError


@final
class CRMOGM(Weigher):
    """w_t = momentum w_{t-1} + (1 - momentum) w^_t, w^ the weights of the wrapped `weigher`.

    Methods that solve a problem on one batch's gradients have biased, jumping weights; their running mean restores convergence.
    `momentum` 0.9 is TorchJD's default (the paper lets it rise towards one as the learning rate falls). A task seen for the first
    time starts at its own first weight; an absent one keeps its mean, and one whose loss or gradient is not finite has weight 0
    for that step only. As in the paper, smoothing is over the weights as given; a method whose
    weights follow the gradients' scale (`NashMTL`) is smoothed in that scale. Weights [L, T] by layer are not smoothed and
    refused. `family` is the wrapped method's. The weigher's `notes` are passed on.

    Differences: none in the rule; the paper's step-dependent momentum is left to the caller, who may set `momentum` between
    steps. Raises ConfigError for a momentum outside [0, 1], or without a `weigher`.

    Source: Zhou et al., "On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond", NeurIPS 2022
    (checked against TorchJD's code).

    >>> from cotrain.balance.dwa import DWA
    >>> smooth = CRMOGM(weigher=DWA(window=1), momentum=0.5)
    >>> for losses in ([1.0, 1.0], [1.0, 0.5]):
    ...     weights = smooth.weigh(Seen(("a", "b"), torch.tensor(losses), step=0))
    >>> [round(weight, 4) for weight in weights.tolist()]                   # halfway from (1, 1) to (1.1244, 0.8756)
    [1.0622, 0.9378]
    """

    name: ClassVar[str] = "cr_mogm"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = (
        "Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation, NeurIPS 2022"
    )
    cost: ClassVar[str] = "as the method it wraps"

    def __init__(self, *, weigher: Weigher, momentum: float = 0.9) -> None:
        if not isinstance(weigher, Weigher):
            raise ConfigError(
                f"cr_mogm: weigher is a method that answers with weights; got {type(weigher).__name__}; try UPGrad()"
            )
        if not 0 <= momentum <= 1:
            raise ConfigError(
                f"cr_mogm: momentum is between 0 and 1; got {momentum}; 0.9 is the default, 0 does not smooth"
            )
        self._weigher = weigher
        self.momentum = float(momentum)
        self.family = weigher.family  # type: ignore[misc]  # the wrapped method decides what happens to the heads
        self.needs = weigher.needs
        self._ledger = Ledger([float("nan")])

    def weigh(self, seen: Seen) -> Tensor:
        """The running mean of the weigher's weights [T]."""
        fresh = self._weigher.weigh(seen)
        if fresh.ndim != 1:
            raise ConfigError(
                f"CRMOGM smooths one weight a task; {type(self._weigher).__name__} answered shape {list(fresh.shape)}; use it unwrapped"
            )
        before = self._ledger.read(seen.tasks, fresh)[0]
        mean = torch.where(before.isnan(), fresh, self.momentum * before + (1 - self.momentum) * fresh)
        present = sound_tasks(seen)
        self._ledger.write(seen.tasks, torch.where(present, mean, before).unsqueeze(0))
        return torch.where(present, mean, 0.0)

    def notes(self) -> list[str]:
        """The weigher's notes."""
        return self._weigher.notes()

    def state_dict(self) -> dict[str, Any]:
        """The running means by task, and the weigher's state."""
        return {"means": self._ledger.state_dict(), "weigher": self._weigher.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._ledger.load_state_dict(state["means"])
        self._weigher.load_state_dict(state["weigher"])
