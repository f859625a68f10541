"""Genetic algorithm with one objective (pymoo)."""

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
class Genetic:
    """Parents win tournaments of two, children are crossed and mutated, the `population` fittest of parents and children survive.

    population: trials a generation, and how many survive (20). Numbers: simulated binary crossover (eta 15, chance 0.9), polynomial mutation
    (eta 20); choices: uniform crossover, an option drawn anew (pymoo's defaults for all of these). A trial that keeps the constraints
    is fitter than one that does not. Failed trials leave no children; a pruned one counts with its last intermediate value.

    Source: J. Holland, Adaptation in Natural and Artificial Systems, 1975; K. Deb, R. Agrawal, Simulated Binary Crossover, Complex Systems 9,
    1995. What is computed is pymoo's GA with mixed variables.
    """

    name: ClassVar[str] = "genetic"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "some milliseconds a generation"
    source: ClassVar[str] = "K. Deb, R. Agrawal, Simulated Binary Crossover, Complex Systems 1995; pymoo"
    objectives: ClassVar[tuple[int, int | None]] = (1, 1)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    population: int = 20

    def __post_init__(self) -> None:
        at_least("genetic.population", self.population, 2)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'genetic'", "pymoo")
        return ask(lambda: self._made(problem), self.population, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None

    def _made(self, problem: Problem) -> Population:
        from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness

        from cotrain.search.genes import Genes
        from cotrain.search.mating import breeding
        from cotrain.search.pymoo_populations import Offspring

        algorithm = GA(pop_size=self.population, **breeding(comp_by_cv_and_fitness, eta=15, prob=0.9))
        return Offspring(algorithm, Genes(problem.space), 1)
