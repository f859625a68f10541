"""Gaussian process with expected improvement (Optuna)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotrain.search.checks import at_least
from cotrain.search.draws import seed32
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class GP:
    """x maximises the logarithm of the expected improvement (of the hypervolume, with several objectives) under a Gaussian process.

    startup: so many trials are random first (10, Optuna's default). A Matern-5/2 kernel with a length a parameter is fitted to the complete
    trials each time; constraints have processes of their own. Good with few trials (up to some hundreds) and numbers.

    Source: S. Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023; Optuna's GPSampler.
    """

    name: ClassVar[str] = "gp"
    family: ClassVar[str] = "model"
    cost: ClassVar[str] = "a tenth of a second to seconds a trial, growing with the cube of the trials"
    source: ClassVar[str] = "S. Ament et al., Unexpected Improvements to Expected Improvement, NeurIPS 2023; Optuna"
    objectives: ClassVar[tuple[int, int | None]] = (1, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "constraints"})
    startup: int = 10

    def __post_init__(self) -> None:
        at_least("gp.startup", self.startup, 1)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'gp'", "optuna", "scipy")
        from optuna.samplers import GPSampler

        from cotrain.search.optuna_words import ask

        return ask(GPSampler(seed=seed32(seed, "gp", number), n_startup_trials=self.startup), problem, trials, number)

    def most(self, problem: Problem) -> int | None:
        return None
