"""Stochastic weight averaging: the plain mean of the weights at the end of each of the last epochs.

    a <- a + (w - a) / (n + 1)        at the end of an epoch, n of them averaged before

begins after a share `start` of the training. Statistics of normalisation layers cannot be averaged with the weights; they are estimated
anew from training rows whenever the averages are judged or kept.

Source: P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018, algorithm 1; start .75 as there.
The constant rate they use from then on is `lr`; without it the schedule goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cotrain.training.averaging import Averaging, weights_of


class SWA(Averaging):
    """The mean of a network's weights over its last epochs. start: share of the training before the first of them.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> swa = SWA(layer, start=0.5)
    >>> with torch.no_grad():
    ...     for epoch, value in enumerate((9.0, 9.0, 1.0, 2.0), 1):
    ...         _ = layer.weight.fill_(value), swa.epoch_ended(epoch / 4)
    >>> float(swa.averages()["weight"])
    1.5
    """

    def __init__(self, model: nn.Module, *, start: float = 0.75) -> None:
        self.model, self.start = model, start
        self.count = 0
        self.held: dict[str, Tensor] = {}

    @torch.no_grad()
    def epoch_ended(self, progress: float) -> None:
        if progress <= self.start:
            return
        for name, weight in weights_of(self.model).items():
            wide = weight.detach().to(torch.promote_types(weight.dtype, torch.float32))
            if self.count:
                self.held[name].lerp_(wide, 1 / (self.count + 1))
            else:
                self.held[name] = wide.clone()
        self.count += 1

    def averages(self) -> Mapping[str, Tensor]:
        return self.held

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "averages": dict(self.held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        weights = weights_of(self.model)
        self.count = state["count"]
        self.held = {name: one.to(weights[name].device, copy=True) for name, one in state["averages"].items()}
