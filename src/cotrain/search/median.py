"""Ends a trial that is worse than the median of the others at the same step (Optuna)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotrain.search.checks import at_least
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Median:
    """A trial ends at step t if its best value up to t is worse than the median of the complete trials' values at t.

    startup: so many trials are completed first (5, Optuna's default). warmup: no trial ends before this step (0). every: steps between two
    looks (1).

    Source: D. Golovin et al., Google Vizier, KDD 2017, section 3.5. What is computed is Optuna's MedianPruner.
    """

    name: ClassVar[str] = "median"
    cost: ClassVar[str] = "nothing"
    source: ClassVar[str] = "D. Golovin et al., Google Vizier, KDD 2017; Optuna"
    startup: int = 5
    warmup: int = 0
    every: int = 1

    def __post_init__(self) -> None:
        at_least("median.startup", self.startup, 1)
        at_least("median.warmup", self.warmup, 0)
        at_least("median.every", self.every, 1)

    def prune(self, problem: Problem, trials: Sequence[Trial], trial: Trial) -> bool:
        require("pruner 'median'", "optuna")
        from optuna.pruners import MedianPruner

        from cotrain.search.optuna_words import running_trial, translated, worth_ending

        pruner = MedianPruner(self.startup, self.warmup, self.every)
        others = [other for other in trials if other.number != trial.number]
        running = running_trial(trial.number, dict(trial.intermediate))
        return worth_ending(pruner, problem, translated(problem, others), running)
