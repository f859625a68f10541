"""Exponential moving average of the weights.

    a <- d^n a + (1 - d^n) w        every n steps,        d = min(decay, (1 + t) / (10 + t))

a is the average (of parameters, and of the statistics of normalisation layers alike), w the weights, t the steps since it began with
a = w. The rising d lets the average follow the first steps, in which the weights still run, instead of remembering the initial values.
Averages are kept in float32 or wider; whole-number buffers are not averaged, the network's own stay.

Source: B. T. Polyak & A. B. Juditsky, Acceleration of Stochastic Approximation by Averaging, SIAM J. Control Optim. 1992, for averaging;
the rising decay is that of `tf.train.ExponentialMovingAverage` with `num_updates`. Looking every n steps is ours: the window of 1 / (1 -
decay) steps is far longer than n, and the cost of reading all weights falls by n (benchmarks/averaging.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cotrain.training.averaging import Averaging, statistics_of, weights_of


def decay_at(t: int, decay: float) -> float:
    """min(decay, (1 + t) / (10 + t)).

    >>> decay_at(8, 0.999), decay_at(10**6, 0.999)
    (0.5, 0.999)
    """
    return min(decay, (1 + t) / (10 + t))


class EMA(Averaging):
    """The moving average of a network's weights. decay: per step. start: share of the training before it begins. every: n above.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> with torch.no_grad():
    ...     ema = EMA(layer, every=1)
    ...     _ = layer.weight.fill_(0.0), ema.stepped(0.0)      # begins with 0
    ...     _ = layer.weight.fill_(11.0), ema.stepped(0.0)     # t = 1: d = 2 / 11, so 9 / 11 of the way to 11
    >>> round(float(ema.averages()["weight"]), 4)
    9.0
    """

    own_statistics: ClassVar[bool] = True

    def __init__(self, model: nn.Module, *, decay: float = 0.999, start: float = 0.0, every: int = 8) -> None:
        self.model, self.decay, self.start, self.every = model, decay, start, every
        self.steps: int | None = None
        """Steps since the average began; None before."""
        self.held: dict[str, Tensor] = {}

    @torch.no_grad()
    def stepped(self, progress: float) -> None:
        if self.steps is None:
            if progress >= self.start:
                self.steps, self.held = 0, {name: _wide(one).clone() for name, one in self._watched().items()}
            return
        self.steps += 1
        if self.steps % self.every == 0:
            kept = decay_at(self.steps, self.decay) ** self.every
            watched = self._watched()
            torch._foreach_lerp_(list(self.held.values()), [_wide(watched[name]) for name in self.held], 1 - kept)

    def _watched(self) -> dict[str, Tensor]:
        return weights_of(self.model) | statistics_of(self.model)

    def averages(self) -> Mapping[str, Tensor]:
        return self.held

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "averages": dict(self.held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        watched = self._watched()
        self.steps = state["steps"]
        self.held = {name: one.to(watched[name].device, copy=True) for name, one in state["averages"].items()}


def _wide(tensor: Tensor) -> Tensor:
    """The values in float32, or in the wider type they have."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
