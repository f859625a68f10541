"""What the best epoch is, and when to stop: a score over all tasks, higher is better.

gain = mean over tasks of (c_k - e_k) / c_k, with e_k the task's primary error on the validation rows and c_k that of the best
constant prediction there: 0 is no better than a constant, 1 is perfect. Tasks whose constant cannot be scored there (one class only)
or is perfect do not count; which tasks count depends on the data alone, never on the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.spec import Task
from cotrain.training.settings import EarlyStopping


def task_gain(task: Any, scores: Mapping[str, float], constant: Mapping[str, float]) -> float | None:
    """(c - e) / c of one task's primary error; None if the constant has no score or is perfect; NaN if only the network has none."""
    reference = float(task.error(dict(constant)))
    if not (math.isfinite(reference) and reference > 0):
        return None
    return (reference - float(task.error(dict(scores)))) / reference


def watched_score(
    monitor: str,
    tasks: Mapping[str, Task],
    scores: Mapping[str, Mapping[str, float]],
    constant: Mapping[str, Mapping[str, float]],
    losses: Mapping[str, float],
) -> float:
    """The score of an epoch. monitor: "gain", "loss" (minus the summed losses), or a task's name (its own gain).

    Where no task can be measured against a constant it is 1 - mean loss, since a constant's scaled loss is 1.
    """
    if monitor == "loss":
        return -sum(losses.values())
    chosen = [monitor] if monitor in tasks else list(tasks)
    measured = [
        gain
        for name in chosen
        if name in scores and name in constant
        for gain in [task_gain(tasks[name], scores[name], constant[name])]
        if gain is not None
    ]
    if measured:
        return sum(measured) / len(measured)
    held = [losses[name] for name in chosen if name in losses]
    return 1 - sum(held) / len(held) if held else math.nan


def check_monitor(monitor: str, tasks: Mapping[str, Task]) -> None:
    """Raises ConfigError if nothing goes by that name."""
    if monitor not in ("gain", "loss") and monitor not in tasks:
        raise ConfigError(unknown("monitor", monitor, ["gain", "loss", *tasks]))


class Stopping:
    """The best epoch so far and how long ago it was. A score that is NaN is never an improvement."""

    def __init__(self, settings: EarlyStopping | None) -> None:
        self.settings = settings
        self.best, self.best_epoch, self.best_step = -math.inf, None, None  # type: float, int | None, int | None
        self.stale, self.reference = 0, -math.inf

    def update(self, score: float, epoch: int, step: int) -> bool:
        """Whether this epoch is the best so far (by any margin); patience counts epochs without more than `min_delta`."""
        margin = 0.0 if self.settings is None else self.settings.min_delta
        if score > self.reference + margin:
            self.reference, self.stale = score, 0
        else:
            self.stale += 1
        if score > self.best:
            self.best, self.best_epoch, self.best_step = score, epoch, step
            return True
        return False

    @property
    def enough(self) -> bool:
        """Whether patience has run out."""
        return self.settings is not None and self.stale >= self.settings.patience

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": _finite(self.best),
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "stale": self.stale,
            "reference": _finite(self.reference),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best, self.reference = (-math.inf if state[key] is None else state[key] for key in ("best", "reference"))
        self.best_epoch, self.best_step, self.stale = state["best_epoch"], state["best_step"], state["stale"]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
