"""pymoo's algorithms as populations that are told one generation at a time. Imports pymoo: load it late.

All mathematics is pymoo's (crossover, mutation, survival, particles, differences). Here stands which trials it is shown: with one constraint
"how far beyond the bounds in all", so that every algorithm puts a trial that keeps the constraints before one that does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population as Individuals
from pymoo.core.problem import Problem as PymooProblem
from pymoo.termination.max_gen import MaximumGenerationTermination

from cotrain.search.cube import Cube
from cotrain.search.generations import Outcome
from cotrain.search.genes import Genes
from cotrain.search.space import Parameters

UNTRIED = 1e30
"""How far beyond all constraints a first particle counts whose trial is missing or failed."""


class Coding(Protocol):
    """Parameters to what an algorithm moves, and back."""

    def parameters(self, point: Any) -> Parameters: ...

    def point(self, parameters: Parameters) -> Any: ...


def set_up(algorithm: Algorithm, problem: PymooProblem) -> Algorithm:
    """The algorithm, ready to be asked, that never ends by itself."""
    algorithm.termination = MaximumGenerationTermination(10**9)
    return algorithm.setup(problem)


class Offspring:
    """Genetic algorithms: finished trials of a generation join the population, the fittest of all survive."""

    partial = True

    def __init__(self, algorithm: Algorithm, genes: Genes, objectives: int) -> None:
        self._coding = genes
        self._algorithm = set_up(algorithm, PymooProblem(vars=genes.variables, n_obj=objectives, n_ieq_constr=1))
        self._proposed: list[Individual] = []

    def propose(self, seed: int) -> list[Parameters]:
        self._algorithm.random_state = numpy.random.default_rng(seed)
        self._proposed = list(_infill(self._algorithm))
        return [self._coding.parameters(individual.X) for individual in self._proposed]

    def learn(self, outcomes: Sequence[Outcome | None]) -> None:
        told = [
            individual_of(self._coding, self._proposed[slot] if slot < len(self._proposed) else None, outcome)
            for slot, outcome in enumerate(outcomes)
            if outcome is not None
        ]
        if told:
            self._algorithm.advance(infills=Individuals.create(*told))


class Swarm:
    """Particles and targets: slot s is one of them, and a trial that is missing or failed leaves it where it was."""

    partial = True

    def __init__(self, algorithm: Algorithm, cube: Cube) -> None:
        self._cube = cube
        bounds = {"xl": numpy.zeros(cube.width), "xu": numpy.ones(cube.width)}
        self._algorithm = set_up(algorithm, PymooProblem(n_var=cube.width, n_obj=1, n_ieq_constr=1, **bounds))
        self._proposed: list[Individual] = []

    def propose(self, seed: int) -> list[Parameters]:
        self._algorithm.random_state = numpy.random.default_rng(seed)
        self._proposed = list(_infill(self._algorithm))
        return [self._cube.parameters(individual.X) for individual in self._proposed]

    def learn(self, outcomes: Sequence[Outcome | None]) -> None:
        if not any(outcomes):
            return
        stay = self._where_they_stand(outcomes)
        told = []
        for slot, outcome in enumerate(outcomes):
            if outcome is None:
                told.append(stay[slot])
                continue
            proposed = self._proposed[slot]
            one = individual_of(self._cube, proposed, outcome)
            if one is not proposed and self._algorithm.is_initialized:
                one.set("V", one.X - stay[slot].X)  # the step that was in fact made
            one.set("index", slot)
            told.append(one)
        self._algorithm.advance(infills=Individuals.create(*told))

    def _where_they_stand(self, outcomes: Sequence[Outcome | None]) -> list[Individual]:
        if self._algorithm.is_initialized:
            moving = getattr(self._algorithm, "particles", None)
            standing = [one.copy() for one in (self._algorithm.pop if moving is None else moving)]
        else:
            worst = max(outcome.losses[0] for outcome in outcomes if outcome is not None)
            standing = list(self._proposed)
            for one in standing:
                evaluate_(one, (worst,), UNTRIED)
        for slot, one in enumerate(standing):
            one.set("index", slot)
        return standing


def individual_of(coding: Coding, proposed: Individual | None, outcome: Outcome) -> Individual:
    """The proposed individual if its parameters are those that were tried, else a new one; with what came of it."""
    same = proposed is not None and coding.parameters(proposed.X) == outcome.parameters
    individual = proposed if same else Individual(X=coding.point(outcome.parameters))
    evaluate_(individual, outcome.losses, outcome.violation)
    return individual


def evaluate_(individual: Individual, losses: Sequence[float], violation: float) -> None:
    """Write what came of a trial into an individual."""
    individual.F = numpy.array(losses, dtype=float)
    individual.G = numpy.array([violation], dtype=float)
    individual.H = numpy.array([], dtype=float)
    individual.CV = numpy.array([violation], dtype=float)


def _infill(algorithm: Algorithm) -> Any:
    found = algorithm.infill()
    return () if found is None else found
