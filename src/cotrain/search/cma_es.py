"""Covariance matrix adaptation (the library cmaes, which Optuna's sampler uses as well)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy

from cotrain.search.checks import at_least
from cotrain.search.cube import Cube, Point
from cotrain.search.extras import require
from cotrain.search.generations import Outcome, ask
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@dataclass(frozen=True, kw_only=True)
class CMAES:
    """x ~ N(m, sigma^2 C) in the unit cube; m, sigma and C follow the better half of each generation.

    population: trials a generation; None: 4 + floor(3 log n) for n parameters (the tutorial's). m begins at the centre, sigma at 1/6 of the
    range (Optuna's default). Whole numbers are rounded. A generation is told when it is complete; until then workers draw from the
    distribution before it. A failed trial counts as the worst of its generation.

    Source: N. Hansen, The CMA Evolution Strategy: A Tutorial, 2016 (arXiv 1604.00772). Optuna's CmaEsSampler keeps its state as pickles in the
    shared database, which whoever writes there could abuse; here the state is built anew from the trials.
    """

    name: ClassVar[str] = "cmaes"
    family: ClassVar[str] = "population"
    cost: ClassVar[str] = "about a millisecond a generation"
    source: ClassVar[str] = "N. Hansen, The CMA Evolution Strategy: A Tutorial, 2016; cmaes"
    objectives: ClassVar[tuple[int, int | None]] = (1, 1)
    can: ClassVar[frozenset[str]] = frozenset({"numbers"})
    population: int | None = None

    def __post_init__(self) -> None:
        if self.population is not None:
            at_least("cmaes.population", self.population, 4)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'cmaes'", "cmaes")
        width = len(problem.space.parameters)
        size = self.population or 4 + math.floor(3 * math.log(width))
        return ask(lambda: Distribution(Cube(problem.space), size), size, problem, trials, number, seed, (self,))

    def most(self, problem: Problem) -> int | None:
        return None


class Distribution:
    """The normal distribution between two generations."""

    partial = False

    def __init__(self, cube: Cube, size: int) -> None:
        from cmaes import CMA

        self._cube, self._size = cube, size
        bounds = numpy.tile(numpy.array([0.0, 1.0]), (cube.width, 1))
        self._cma: Any = CMA(
            mean=numpy.full(cube.width, 0.5),
            sigma=1 / 6,
            bounds=bounds,
            population_size=size,
            n_max_resampling=10 * cube.width,
            seed=0,
        )
        self._proposed: list[Point] = []

    def propose(self, seed: int) -> list[Parameters]:
        self._cma.reseed_rng(seed)
        self._proposed = [self._cma.ask() for _ in range(self._size)]
        return [self._cube.parameters(point) for point in self._proposed]

    def learn(self, outcomes: Sequence[Outcome | None]) -> None:
        found = [outcome.losses[0] for outcome in outcomes if outcome is not None]
        if not found:
            return
        told = []
        for point, outcome in zip(self._proposed, outcomes, strict=True):
            if outcome is None:
                told.append((point, max(found)))
            elif self._cube.parameters(point) == outcome.parameters:
                told.append((point, outcome.losses[0]))
            else:
                told.append((self._cube.point(outcome.parameters), outcome.losses[0]))
        self._cma.tell(told)
