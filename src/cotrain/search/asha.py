"""Asynchronous successive halving: few steps for many, many steps for few (Optuna)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cotrain.search.checks import at_least
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True, kw_only=True)
class ASHA:
    """At rungs of r, r eta, r eta^2, ... steps a trial goes on if it is among the best 1 / eta of those that got there so far.

    least: r, the steps every trial is given (1). reduction: eta (4, the paper's). Whoever arrives first at a rung goes on. Trials that failed
    count up to where they got.

    Source: L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020. What is computed is Optuna's
    SuccessiveHalvingPruner, which ends trials at a rung and does not take them up again.
    """

    name: ClassVar[str] = "asha"
    cost: ClassVar[str] = "nothing"
    source: ClassVar[str] = "L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; Optuna"
    least: int = 1
    reduction: int = 4

    def __post_init__(self) -> None:
        at_least("asha.least", self.least, 1)
        at_least("asha.reduction", self.reduction, 2)

    def prune(self, problem: Problem, trials: Sequence[Trial], trial: Trial) -> bool:
        require("pruner 'asha'", "optuna")
        from cotrain.search.rungs import halved

        return halved(self, problem, trials, trial)

    def made(self) -> BasePruner:
        """Optuna's pruner with these settings."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.least, reduction_factor=self.reduction)
