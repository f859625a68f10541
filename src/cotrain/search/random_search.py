"""Random search: every trial drawn anew from the space (Optuna)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotrain.search.draws import seed32
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Random:
    """Each parameter drawn alone, evenly over its range (or its logarithm) or its options. What every other sampler must beat.

    Source: J. Bergstra, Y. Bengio, Random Search for Hyper-Parameter Optimization, JMLR 13, 2012. Drawn by Optuna's RandomSampler.
    """

    name: ClassVar[str] = "random"
    family: ClassVar[str] = "blind"
    cost: ClassVar[str] = "nothing"
    source: ClassVar[str] = "J. Bergstra, Y. Bengio, Random Search for Hyper-Parameter Optimization, JMLR 2012; Optuna"
    objectives: ClassVar[tuple[int, int | None]] = (1, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'random'", "optuna")
        from optuna.samplers import RandomSampler

        from cotrain.search.optuna_words import ask

        return ask(RandomSampler(seed=seed32(seed, "random", number)), problem, (), number)

    def most(self, problem: Problem) -> int | None:
        return None
