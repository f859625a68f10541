"""NSGA-III, for three objectives and more (pymoo)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotrain.core.errors import ConfigError
from cotrain.search.checks import at_least
from cotrain.search.extras import require
from cotrain.search.generations import Population, ask
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class NSGA3:
    """As NSGA-II, but within a front those survive that keep evenly spread directions of the trade-off alive.

    population: trials a generation, and how many survive (20); as many directions of Das and Dennis are laid as fit in. Crossover: simulated
    binary with eta 30 and chance 1, the paper's. Made for three objectives and more; two are taken.

    Source: K. Deb, H. Jain, An Evolutionary Many-Objective Optimization Algorithm Using Reference-Point-Based Nondominated Sorting, IEEE
    Transactions on Evolutionary Computation 18, 2014. What is computed is pymoo's NSGA3 with mixed variables, ties of the tournament broken by
    the study's own seed.
    """

    name: ClassVar[str] = "nsga3"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "some milliseconds a generation"
    source: ClassVar[str] = "K. Deb, H. Jain, NSGA-III, IEEE Transactions on Evolutionary Computation 2014; pymoo"
    objectives: ClassVar[tuple[int, int | None]] = (2, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    population: int = 20

    def __post_init__(self) -> None:
        at_least("nsga3.population", self.population, 4)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'nsga3'", "pymoo")
        if len(problem.objectives) > self.population:
            raise ConfigError(
                f"nsga3.population: at least one trial an objective is expected, got {self.population} for {len(problem.objectives)}"
            )
        return ask(lambda: self._made(problem), self.population, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None

    def _made(self, problem: Problem) -> Population:
        from pymoo.algorithms.moo import nsga3
        from pymoo.util.ref_dirs import get_reference_directions

        from cotrain.search.genes import Genes
        from cotrain.search.mating import breeding, by_violation
        from cotrain.search.pymoo_populations import Offspring

        objectives = len(problem.objectives)
        directions = get_reference_directions("das-dennis", objectives, n_partitions=self._partitions(objectives))
        algorithm = nsga3.NSGA3(directions, pop_size=self.population, **breeding(by_violation, eta=30, prob=1.0))
        return Offspring(algorithm, Genes(problem.space), objectives)

    def _partitions(self, objectives: int) -> int:
        """The finest division whose directions, (p + M - 1 over p), are not more than the population."""
        partitions = 1
        while math.comb(partitions + objectives, objectives - 1) <= self.population:
            partitions += 1
        return partitions
