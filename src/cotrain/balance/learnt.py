"""Numbers a method learns, one a task, with an Adam of their own and no weight decay.

They never sit among the network's parameters: weight decay would pull them to zero, and their learning rate is their own. They
are kept by task name, so that an absent task rests, a new one starts fresh, and another order changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor


@final
class Learnt:
    """One learnt number a task.

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
        self._lr, self._start, self._decay, self._betas, self._eps = lr, start, decay, betas, eps
        self._names: tuple[str, ...] = ()
        self._table = torch.zeros(4, 0, dtype=torch.float64)  # rows: value, first moment, second moment, steps taken

    def read(self, tasks: tuple[str, ...], like: Tensor) -> Tensor:
        """The values [T] of `tasks`, float64, on the device of `like`; a new task starts at `start`."""
        self._meet(tasks, like)
        return self._table[0][self._where(tasks)].clone()

    def write(self, tasks: tuple[str, ...], values: Tensor) -> None:
        """Set the values of `tasks`; moments stay (GradNorm's renormalisation)."""
        self._meet(tasks, values)
        table = self._table.clone()
        table[0, self._where(tasks)] = values.double()
        self._table = table

    def step(self, tasks: tuple[str, ...], gradient: Tensor) -> None:
        """One Adam step of the values of `tasks` along minus `gradient` [T]; other tasks rest."""
        self._meet(tasks, gradient)
        where = self._where(tasks)
        value, first, second, count = self._table[:, where]
        slope = gradient.double() + self._decay * value
        count = count + 1
        first = self._betas[0] * first + (1 - self._betas[0]) * slope
        second = self._betas[1] * second + (1 - self._betas[1]) * slope.square()
        corrected = (second / (1 - self._betas[1] ** count)).sqrt() + self._eps
        value = value - self._lr * first / (1 - self._betas[0] ** count) / corrected
        table = self._table.clone()
        table[:, where] = torch.stack((value, first, second, count))
        self._table = table

    def state_dict(self) -> dict[str, Any]:
        """Names and their numbers."""
        return {"names": list(self._names), "table": self._table.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._names = tuple(state["names"])
        self._table = torch.as_tensor(state["table"], dtype=torch.float64).clone()

    def _meet(self, tasks: tuple[str, ...], like: Tensor) -> None:
        if self._table.device != like.device:
            self._table = self._table.to(like.device)
        if tasks == self._names:
            return
        fresh = tuple(task for task in tasks if task not in self._names)
        if fresh:
            rows = self._table.new_zeros(4, len(fresh))
            rows[0] = self._start
            self._table = torch.cat((self._table, rows), dim=1)
            self._names += fresh

    def _where(self, tasks: tuple[str, ...]) -> slice | list[int]:
        return slice(None) if tasks == self._names else [self._names.index(task) for task in tasks]
