"""Random draws that belong to a method: seeded, resumable, and the same for the same tasks in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor


@final
class Draws:
    """A generator on the CPU with its own seed; every draw goes through the tasks in the order of their names."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, tasks: Sequence[str]) -> Tensor:
        """One number from N(0, 1) a task, float64 [T]."""
        return torch.randn(len(tasks), dtype=torch.float64, generator=self._generator)[_places(tasks)]

    def orders(self, tasks: Sequence[str]) -> Tensor:
        """For each task an own random order of all T tasks, integers [T, T]: row i lists positions in `tasks`.

        >>> Draws(0).orders(["a", "b", "c"]).sort(dim=1).values.tolist()
        [[0, 1, 2], [0, 1, 2], [0, 1, 2]]
        """
        places = _places(tasks)
        keys = torch.rand(len(tasks), len(tasks), generator=self._generator)
        return keys[places][:, places].argsort(dim=1, stable=True)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, a byte tensor."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self._generator.set_state(torch.as_tensor(state["generator"], dtype=torch.uint8).cpu())

    @property
    def generator(self) -> torch.Generator:
        """The generator itself, for draws that are not one a task."""
        return self._generator


def _places(tasks: Sequence[str]) -> list[int]:
    """The rank of each task's name among the names."""
    ranked = {task: rank for rank, task in enumerate(sorted(tasks))}
    return [ranked[task] for task in tasks]
