"""Differential evolution (pymoo)."""

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
class DifferentialEvolution:
    """u = x_best + F (x_a - x_b), crossed with the target x_s coordinate by coordinate; x_s gives way if u is better.

    population: targets, and trials a generation (20). F = 0.5 and a chance of 0.2 to take u's coordinate, pymoo's variant DE/best/1/bin. Choices
    and whole numbers move in the unit cube (a choice by m coordinates, the greatest decides). A trial that failed or is missing leaves
    its target in place.

    Source: R. Storn, K. Price, Differential Evolution, Journal of Global Optimization 11, 1997. What is computed is pymoo's DE.
    """

    name: ClassVar[str] = "differential_evolution"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "some milliseconds a generation"
    source: ClassVar[str] = "R. Storn, K. Price, Differential Evolution, Journal of Global Optimization 1997; pymoo"
    objectives: ClassVar[tuple[int, int | None]] = (1, 1)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    population: int = 20

    def __post_init__(self) -> None:
        at_least("differential_evolution.population", self.population, 4)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'differential_evolution'", "pymoo")
        return ask(lambda: self._made(problem), self.population, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None

    def _made(self, problem: Problem) -> Population:
        from pymoo.algorithms.soo.nonconvex.de import DE

        from cotrain.search.cube import Cube
        from cotrain.search.pymoo_populations import Swarm

        return Swarm(DE(pop_size=self.population), Cube(problem.space))
