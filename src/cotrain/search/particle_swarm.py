"""Particle swarm (pymoo)."""

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
class ParticleSwarm:
    """v <- w v + c1 r1 (p - x) + c2 r2 (g - x), x <- x + v: each particle is drawn to its own best point p and to the swarm's best g.

    population: particles, and trials a generation (20). w, c1, c2 begin at 0.9, 2, 2 and follow how far the swarm has spread (pymoo's
    default); r1, r2 are drawn anew for every coordinate; v is at most a fifth of the range. Choices and whole numbers move in the unit cube
    (a choice by m coordinates, the greatest decides). A trial that failed or is missing leaves its particle where it was.

    Source: J. Kennedy, R. Eberhart, Particle Swarm Optimization, ICNN 1995; Z.-H. Zhan et al., Adaptive Particle Swarm Optimization, IEEE
    Transactions on Systems, Man and Cybernetics B 39, 2009. What is computed is pymoo's PSO.
    """

    name: ClassVar[str] = "particle_swarm"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "some milliseconds a generation"
    source: ClassVar[str] = "J. Kennedy, R. Eberhart, Particle Swarm Optimization, ICNN 1995; pymoo"
    objectives: ClassVar[tuple[int, int | None]] = (1, 1)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "conditions", "constraints"})
    population: int = 20

    def __post_init__(self) -> None:
        at_least("particle_swarm.population", self.population, 2)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'particle_swarm'", "pymoo")
        return ask(lambda: self._made(problem), self.population, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None

    def _made(self, problem: Problem) -> Population:
        from pymoo.algorithms.soo.nonconvex.pso import PSO

        from cotrain.search.cube import Cube
        from cotrain.search.pymoo_populations import Swarm

        return Swarm(PSO(pop_size=self.population), Cube(problem.space))
