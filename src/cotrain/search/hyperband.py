"""Hyperband: several successive halvings beside each other, from bold to cautious (Optuna)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cotrain.core.errors import ConfigError
from cotrain.search.checks import at_least
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@dataclass(frozen=True, kw_only=True)
class Hyperband:
    """Bracket s halves from r eta^s steps on; a trial's number says in which of the floor(log_eta(R / r)) + 1 brackets it runs.

    most: R, the steps of a whole trial. least: r (1). reduction: eta (3, the paper's).

    Source: L. Li et al., Hyperband, JMLR 18, 2018, algorithm 1. What is computed is Optuna's HyperbandPruner, asynchronous.
    """

    name: ClassVar[str] = "hyperband"
    cost: ClassVar[str] = "nothing"
    source: ClassVar[str] = "L. Li et al., Hyperband, JMLR 2018; Optuna"
    most: int
    least: int = 1
    reduction: int = 3

    def __post_init__(self) -> None:
        at_least("hyperband.least", self.least, 1)
        at_least("hyperband.reduction", self.reduction, 2)
        at_least("hyperband.most", self.most, 1)
        if self.most <= self.least:
            raise ConfigError(
                f"hyperband: most, the steps of a whole trial, lies above least, got {self.most} and {self.least}"
            )

    def prune(self, problem: Problem, trials: Sequence[Trial], trial: Trial) -> bool:
        require("pruner 'hyperband'", "optuna")
        from cotrain.search.rungs import halved

        return halved(self, problem, trials, trial)

    def made(self) -> BasePruner:
        """Optuna's pruner with these settings."""
        from optuna.pruners import HyperbandPruner

        return HyperbandPruner(min_resource=self.least, max_resource=self.most, reduction_factor=self.reduction)
