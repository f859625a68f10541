"""The probability from which a yes/no task says yes, chosen on validation rows: every cut between two answers is tried.

Shapes: N rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import ConfigError, unknown
from cotrain.tasks.scores import Array

AIMS = ("f1", "balanced_accuracy", "accuracy")
COSTS = ("false_positive", "false_negative")
Aim = Literal["f1", "balanced_accuracy", "accuracy"] | Mapping[str, float]
"""What a threshold is tuned for: one of `AIMS`, or the cost of each mistake, {false_positive: 1, false_negative: 5}."""


def best_threshold(probability: Array, truth: NDArray[np.bool_], weight: Array, aim: Aim = "f1") -> tuple[float, float]:
    """(threshold, what it reaches) on these rows: the best over all N + 1 ways to cut, the one nearest 0.5 where several are.

    A row is yes where its probability is at least the threshold, which lies midway between two answers. What it reaches: the metric, or
    minus the mean cost of a row. probability, weight: [N], a positive sum of weights. truth: [N] bool.

    >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, True, True, True]), np.ones(4))
    (0.15000000000000002, 1.0)
    """
    order = np.argsort(-probability, kind="stable")
    ranked, yes = probability[order], np.where(truth, weight, 0.0)[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True]) if len(ranked) else np.zeros(0, dtype=int)
    found = np.r_[0.0, np.cumsum(yes)[ends]]
    wrong = np.r_[0.0, np.cumsum(weight[order] - yes)[ends]]
    up, down = found[-1], wrong[-1]
    goal = _goal(found, wrong, up, down, aim)
    levels = ranked[ends]
    cuts = np.r_[(1 + levels[:1]) / 2, (levels[:-1] + levels[1:]) / 2, levels[-1:] / 2]
    cuts[1:-1] = np.where(
        cuts[1:-1] > levels[1:], cuts[1:-1], levels[:-1]
    )  # neighbours in floating point have nothing between
    best = np.flatnonzero(goal >= goal.max() - 1e-12 * max(1.0, abs(goal.max())))
    chosen = best[np.argmin(np.abs(cuts[best] - 0.5))]
    return float(np.clip(cuts[chosen], 1e-12, 1 - 1e-12)), float(goal[chosen])


def _goal(found: Array, wrong: Array, up: float, down: float, aim: Aim) -> Array:
    """What each cut reaches, higher is better. found, wrong: weights of yes and of no above the cut; up, down: of all rows."""
    if isinstance(aim, Mapping):
        cost = aim["false_positive"] * wrong + aim["false_negative"] * (up - found)
        return np.asarray(-cost / (up + down))
    if aim == "accuracy":
        return np.asarray((found + down - wrong) / (up + down))
    if aim == "f1":
        return np.asarray(2 * found / np.maximum(found + wrong + up, 1e-300))
    rates = [rate for rate, held in ((found / max(up, 1e-300), up), (1 - wrong / max(down, 1e-300), down)) if held > 0]
    return np.asarray(np.mean(rates, axis=0))


def check_aim(aim: object, where: str) -> None:
    """Raises ConfigError unless `aim` is one of `AIMS` or gives both costs, not negative and not both 0."""
    if isinstance(aim, Mapping):
        for key in aim:
            if key not in COSTS:
                raise ConfigError(f"{where}: tune_for: {unknown('cost', str(key), COSTS)}")
        values = [aim.get(key) for key in COSTS]
        if not all(isinstance(one, int | float) and 0 <= one < math.inf for one in values) or not any(values):
            raise ConfigError(
                f"{where}: tune_for needs both costs, finite and not negative, got {dict(aim)}; "
                "for example {false_positive: 1, false_negative: 5}"
            )
    elif aim not in AIMS:
        raise ConfigError(f"{where}: " + unknown("aim of tune_for", str(aim), AIMS))


def check_decision(task: str, threshold: object, aim: object, calibrate: object, calibrations: tuple[str, ...]) -> None:
    """Raises ConfigError, naming the task, for a threshold, an aim or a calibration that is none, or an aim that nothing reads."""
    where = f"task '{task}'"
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold != "tuned" and not (number and 0 < float(str(threshold)) < 1):
        raise ConfigError(f"{where}: threshold must lie between 0 and 1, got {threshold!r}; or write tuned")
    if aim is not None:
        check_aim(aim, where)
        if threshold != "tuned":
            raise ConfigError(
                f"{where}: tune_for says what a threshold is tuned for, but threshold is {threshold}; write threshold: tuned"
            )
    if calibrate not in ("none", *calibrations):
        raise ConfigError(f"{where}: " + unknown("calibration", str(calibrate), ("none", *calibrations)))
