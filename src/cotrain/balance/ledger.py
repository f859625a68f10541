"""Numbers kept by task name: the memory of every method that has one.

An absent task keeps its numbers, a new one gets the defaults, and the order of the tasks in a step does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor


@final
class Ledger:
    """R numbers a task, float64, on whatever device the step is on.

    >>> ledger = Ledger([0.0, 1.0])
    >>> ledger.write(("a",), torch.tensor([[5.0], [6.0]]))
    >>> ledger.read(("b", "a"), torch.zeros(2)).tolist()
    [[0.0, 5.0], [1.0, 6.0]]
    """

    def __init__(self, defaults: list[float]) -> None:
        self._defaults = torch.tensor(defaults, dtype=torch.float64).unsqueeze(-1)
        self._names: tuple[str, ...] = ()
        self._table = self._defaults[:, :0]

    def read(self, tasks: tuple[str, ...], like: Tensor) -> Tensor:
        """The numbers [R, T] of `tasks`, on the device of `like`."""
        if self._table.device != like.device:
            self._table, self._defaults = self._table.to(like.device), self._defaults.to(like.device)
        if tasks == self._names:
            return self._table.clone()
        fresh = tuple(task for task in tasks if task not in self._names)
        if fresh:
            self._table = torch.cat((self._table, self._defaults.expand(-1, len(fresh))), dim=1)
            self._names += fresh
        return self._table[:, [self._names.index(task) for task in tasks]]

    def write(self, tasks: tuple[str, ...], numbers: Tensor) -> None:
        """Keep `numbers` [R, T] for `tasks`."""
        numbers = numbers.double()
        if tasks == self._names:
            self._table = numbers.clone()
            return
        self.read(tasks, numbers)
        table = self._table.clone()
        table[:, [self._names.index(task) for task in tasks]] = numbers
        self._table = table

    def state_dict(self) -> dict[str, Any]:
        """Names and their numbers."""
        return {"names": list(self._names), "table": self._table.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._names = tuple(state["names"])
        self._table = torch.as_tensor(state["table"], dtype=torch.float64).clone()
