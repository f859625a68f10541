"""Numbers a method learns, one a task, with an Adam of their own and no weight decay.

They never sit among the network's parameters: weight decay would pull them to zero, and their learning rate is their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from cotrain.balance.ledger import Ledger


@final
class Learnt:
    """One learnt number a task, kept by name.

    Settings: `lr` step size; `start` value of a new task; `decay` an L2 pull added to the gradient (FAMO's gamma, else 0);
    `betas`, `eps` Adam's, defaults from Kingma and Ba, "Adam", ICLR 2015, algorithm 1.

    >>> scale = Learnt(lr=0.1)
    >>> scale.step(("a", "b"), torch.tensor([2.0, -3.0]))     # Adam's first step is lr against the sign
    >>> [round(value, 4) for value in scale.read(("b", "a"), torch.zeros(2)).tolist()]
    [0.1, -0.1]
    """

    def __init__(
        self,
        *,
        lr: float,
        start: float = 0.0,
        decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self._lr, self._decay, self._betas, self._eps = lr, decay, betas, eps
        self._ledger = Ledger([start, 0.0, 0.0, 0.0])  # value, first moment, second moment, steps taken

    def read(self, tasks: tuple[str, ...], like: Tensor) -> Tensor:
        """The values [T] of `tasks`, float64, on the device of `like`."""
        return self._ledger.read(tasks, like)[0]

    def write(self, tasks: tuple[str, ...], values: Tensor) -> None:
        """Set the values of `tasks`; the moments stay (GradNorm's renormalisation)."""
        table = self._ledger.read(tasks, values)
        table[0] = values
        self._ledger.write(tasks, table)

    def step(self, tasks: tuple[str, ...], gradient: Tensor) -> None:
        """One Adam step of the values of `tasks` along minus `gradient` [T]; other tasks rest."""
        value, first, second, count = self._ledger.read(tasks, gradient)
        slope = gradient.double() + self._decay * value
        count = count + 1
        first = self._betas[0] * first + (1 - self._betas[0]) * slope
        second = self._betas[1] * second + (1 - self._betas[1]) * slope.square()
        length = (second / (1 - self._betas[1] ** count)).sqrt() + self._eps
        value = value - self._lr * first / (1 - self._betas[0] ** count) / length
        self._ledger.write(tasks, torch.stack((value, first, second, count)))

    def state_dict(self) -> dict[str, Any]:
        """Names, values and moments."""
        return self._ledger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._ledger.load_state_dict(state)
