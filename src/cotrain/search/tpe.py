"""Tree-structured Parzen estimator: draws where good trials lie denser than the others (Optuna)."""

from __future__ import annotations

import warnings
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
class TPE:
    """x maximises l(x) / g(x) among `candidates` draws from l: l the density of the good trials, g that of the others.

    startup: so many trials are random first (10, Optuna's default). candidates: draws from l that compete (24, Optuna's default).
    Several numbers are modelled together (multivariate) with one objective, alone with several; where parameters are conditional, each
    group of parameters that occur together has a density of its own. Trials that break a constraint count as worse than all that keep
    them. Pruned trials are used.

    Source: J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; S. Watanabe, Tree-Structured Parzen Estimator, 2023
    (arXiv 2304.11127), for what Optuna's TPESampler does. Unlike Optuna's own loop, running trials are not looked at.
    """

    name: ClassVar[str] = "tpe"
    family: ClassVar[str] = "model"
    cost: ClassVar[str] = "some milliseconds a trial"
    source: ClassVar[str] = "J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011; Optuna"
    objectives: ClassVar[tuple[int, int | None]] = (1, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    startup: int = 10
    candidates: int = 24

    def __post_init__(self) -> None:
        at_least("tpe.startup", self.startup, 1)
        at_least("tpe.candidates", self.candidates, 1)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'tpe'", "optuna")
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        from cotrain.search.optuna_words import ask

        conditional = problem.space.conditional
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # groups of parameters are "experimental" since 2.8
            sampler = TPESampler(
                n_startup_trials=self.startup,
                n_ei_candidates=self.candidates,
                multivariate=conditional or len(problem.objectives) == 1,
                group=conditional,
                constant_liar=False,
                seed=seed32(seed, "tpe", number),
            )
            return ask(sampler, problem, trials, number)

    def most(self, problem: Problem) -> int | None:
        return None
