"""NSGA-II, for several objectives (pymoo)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotrain.search.checks import at_least
from cotrain.search.extras import require
from cotrain.search.generations import Population, ask
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class NSGA2:
    """The fittest are those that no other dominates, then those that only these dominate, ...; within such a front, the loneliest.

    population: trials a generation, and how many survive (20). Crossover and mutation as in `genetic`. A trial that keeps the constraints
    is fitter than one that does not.

    Source: K. Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE Transactions on Evolutionary Computation 6, 2002.
    What is computed is pymoo's NSGA2 with mixed variables.
    """

    name: ClassVar[str] = "nsga2"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "some milliseconds a generation"
    source: ClassVar[str] = "K. Deb et al., NSGA-II, IEEE Transactions on Evolutionary Computation 2002; pymoo"
    objectives: ClassVar[tuple[int, int | None]] = (2, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    population: int = 20

    def __post_init__(self) -> None:
        at_least("nsga2.population", self.population, 2)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'nsga2'", "pymoo")
        return ask(lambda: self._made(problem), self.population, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None

    def _made(self, problem: Problem) -> Population:
        from pymoo.algorithms.moo import nsga2

        from cotrain.search.genes import Genes
        from cotrain.search.mating import breeding
        from cotrain.search.pymoo_populations import Offspring

        algorithm = nsga2.NSGA2(pop_size=self.population, **breeding(nsga2.binary_tournament, eta=15, prob=0.9))
        return Offspring(algorithm, Genes(problem.space), len(problem.objectives))
