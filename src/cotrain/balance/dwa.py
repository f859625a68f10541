"""DWA: more weight to the losses that fall slowest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher
from cotrain.balance.positive import checked_losses
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


@final
class DWA(CarefulWeigher):
    """w_k = T softmax_k(r_k / temperature), r_k = mean of the last `window` losses / mean of the `window` before them.

    The paper takes means over the last two epochs; windows here count steps in which the task was present, the current one
    included, as in nash-mtl, whose 25 is the default. Until a task has been seen 2 x window times it counts as unchanged,
    r_k = 1 (nash-mtl starts after 25 steps against a window filled with ones). `temperature` 2 is the authors'. Raises
    ConfigError for a window < 1 or a temperature <= 0, TrainingError for a negative loss.

    Source: Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019, "Dynamic Weight
    Average" (checked against nash-mtl's code).

    >>> dwa = DWA(window=1)
    >>> for losses in ([1.0, 1.0], [1.0, 0.5]):
    ...     weights = dwa.weigh(Seen(("a", "b"), torch.tensor(losses), step=0))
    >>> [round(weight, 4) for weight in weights.tolist()]                   # 2 softmax(1/2, 1/4)
    [1.1244, 0.8756]
    """

    name: ClassVar[str] = "dwa"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019"
    cost: ClassVar[str] = "1 joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def __init__(self, *, window: int = 25, temperature: float = 2.0) -> None:
        super().__init__()
        if window < 1 or not temperature > 0:
            raise ConfigError(
                f"dwa: window is at least 1 and temperature positive; got {window} and {temperature}; the defaults are 25 and 2"
            )
        self._window, self._temperature = window, temperature
        self._past: dict[str, list[float]] = {}

    def answer(self, seen: Seen) -> Tensor:
        """T softmax(r / temperature) [T]."""
        ratios = []
        for task, loss in zip(seen.tasks, checked_losses(seen, "DWA").tolist(), strict=True):
            past = [*self._past.get(task, []), loss][-2 * self._window :]
            self._past[task] = past
            before = sum(past[: self._window])
            known = len(past) == 2 * self._window and before > 0
            ratios.append(sum(past[self._window :]) / before if known else 1.0)
        ratio = torch.tensor(ratios, dtype=torch.float64).to(seen.losses.device)
        return len(ratios) * torch.softmax(ratio / self._temperature, dim=0)

    def own_state(self) -> dict[str, Any]:
        """The last losses of each task."""
        return {"past": {task: list(past) for task, past in self._past.items()}}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._past = {str(task): [float(loss) for loss in past] for task, past in state["past"].items()}
