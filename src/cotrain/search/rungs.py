"""What successive halving needs of the other trials: their value at each rung they reached. Imports optuna: load it late.

Optuna's pruners write a trial's value at a rung when the trial passes by. Here each trial passes by again, alone, step by step, so that the
answer depends on the trials' intermediate values and on nothing that was written on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from cotrain.search.optuna_storage import STUDY, FinishedTrials
from cotrain.search.optuna_words import directions, running_trial, worth_ending
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial


class Halving(Protocol):
    """Settings, with a hash, that make one of Optuna's pruners with rungs."""

    def __hash__(self) -> int: ...

    def made(self) -> BasePruner: ...


def halved(halving: Halving, problem: Problem, trials: Sequence[Trial], trial: Trial) -> bool:
    """Whether the trial ends at the rung it just reached, among all trials that reached it."""
    if not trial.intermediate:
        return False
    direction = directions(problem)[0]
    steps = sorted(trial.intermediate.items())
    running = _passed(halving, direction, trial.number, steps[:-1])
    step, value = steps[-1]
    running.intermediate_values[step] = value
    others = [
        _passed(halving, direction, other.number, sorted(other.intermediate.items()))
        for other in trials
        if other.number != trial.number
    ]
    return worth_ending(halving.made(), problem, others, running)


def _passed(
    halving: Halving, direction: StudyDirection, number: int, steps: Sequence[tuple[int, float]]
) -> FrozenTrial:
    """A trial in Optuna's words, with its value at every rung it passed."""
    trial = running_trial(number, dict(steps))
    trial.system_attrs = dict(_rungs(halving, direction, number, tuple(steps)))
    return trial


@lru_cache(maxsize=4096)
def _rungs(
    halving: Halving, direction: StudyDirection, number: int, steps: tuple[tuple[int, float], ...]
) -> Mapping[str, float]:
    trial = running_trial(number)
    pruner = halving.made()
    study = Study(STUDY, FinishedTrials((direction,), (), trial), pruner=pruner)
    for step, value in steps:
        trial.intermediate_values[step] = value
        pruner.prune(study, trial)
    return dict(trial.system_attrs)
