"""Samplers that move a population: generation g as a function of the finished trials before it and the seed.

Trial n belongs to slot n % P of generation n // P, P being the population. To ask for trial n the population is built anew: it begins as
the seed says and is told generation after generation. What a worker does when the generation before its own is not finished: it takes what
is there. The population is told the finished trials of that generation, the missing ones count as if they had not been tried, and the worker
goes on from it; nobody waits. Once the missing trials are there, later generations are built on all of them. A trial whose parameters
are not those that the population proposed (it was asked for early, or given by hand) is told as it was tried.

Building anew is quick but not free. The state after the last complete generation is therefore kept in the process, with the very trials it
was built from, and used again only where these are the first trials of the next question. It changes no answer.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy

from cotrain.search.domains import Choice
from cotrain.search.draws import seed32
from cotrain.search.problem import Problem
from cotrain.search.space import Parameter, Parameters, Space
from cotrain.search.trial import Trial

FARTHEST = 1e9
"""No trial counts as farther beyond its constraints, or as worse, than this."""


@dataclass(frozen=True)
class Outcome:
    """What came of one slot: parameters as tried, one loss an objective, how far beyond the constraints."""

    parameters: Parameters
    losses: tuple[float, ...]
    violation: float


class Population(Protocol):
    """The state of a method between two generations. It can be copied with `copy.deepcopy`.

    partial: whether it can be told a generation with trials missing; otherwise it goes on unchanged until the generation is complete.
    `propose(seed)`: parameters for the slots of the next generation, in order; fewer than slots where it finds no more that differ.
    `learn(outcomes)`: one a slot of the generation proposed last, None where a trial is missing or failed.
    """

    partial: bool

    def propose(self, seed: int) -> list[Parameters]: ...

    def learn(self, outcomes: Sequence[Outcome | None]) -> None: ...


@dataclass
class Reached:
    """The state after complete generations, the trials it was built from, and what it proposes next."""

    told: tuple[Trial, ...]
    generation: int
    population: Population
    proposals: list[Parameters]


_REACHED: OrderedDict[Any, Reached] = OrderedDict()
_KEPT = 8
_LOCK = threading.Lock()


def ask(
    make: Callable[[], Population],
    size: int,
    problem: Problem,
    trials: Sequence[Trial],
    number: int,
    seed: int,
    key: tuple[Any, ...],
) -> Parameters:
    """The parameters of trial `number`. make: a fresh population; key: what, beside trials and number, decides the answer."""
    generation, slot = divmod(number, size)
    ordered = sorted(trials, key=_number)
    with _LOCK:
        reached = _complete(make, size, problem, ordered, generation, seed, (*key, problem.fingerprint, seed))
        proposals = reached.proposals
        if reached.generation < generation:
            proposals = _with_what_is_there(reached, size, problem, ordered, generation, seed)
    if slot < len(proposals):
        return dict(proposals[slot])
    return drawn(problem.space, seed32(seed, "extra", number))


def _number(trial: Trial) -> int:
    return trial.number


def _complete(
    make: Callable[[], Population],
    size: int,
    problem: Problem,
    ordered: list[Trial],
    generation: int,
    seed: int,
    key: tuple[Any, ...],
) -> Reached:
    """The state after all complete generations before `generation`, from the one that was kept where it still holds."""
    reached = _REACHED.get(key)
    if reached is None or reached.generation > generation or tuple(ordered[: len(reached.told)]) != reached.told:
        population = make()
        reached = Reached((), 0, population, population.propose(seed32(seed, "generation", 0)))
    begun = reached.generation
    while reached.generation < generation:
        first, last = reached.generation * size, (reached.generation + 1) * size
        if len(ordered) < last or ordered[last - 1].number != last - 1:
            break
        reached.population.learn([_outcome(problem, trial) for trial in ordered[first:last]])
        reached.generation += 1
        reached.proposals = reached.population.propose(seed32(seed, "generation", reached.generation))
    if reached.generation != begun:
        reached.told = tuple(ordered[: reached.generation * size])
    _REACHED[key] = reached
    _REACHED.move_to_end(key)
    while len(_REACHED) > _KEPT:
        _REACHED.popitem(last=False)
    return reached


def _with_what_is_there(
    reached: Reached, size: int, problem: Problem, ordered: list[Trial], generation: int, seed: int
) -> list[Parameters]:
    """What a copy of the state proposes for `generation` after it was told the finished trials of generations that are not complete."""
    population = copy.deepcopy(reached.population)
    proposals = reached.proposals
    later = {trial.number: trial for trial in ordered[len(reached.told) :]}
    for one in range(reached.generation, generation):
        numbers = range(one * size, (one + 1) * size)
        outcomes = [_outcome(problem, later[number]) if number in later else None for number in numbers]
        whole = all(number in later for number in numbers)
        if any(outcomes) and (whole or population.partial):
            population.learn(outcomes)
        proposals = population.propose(seed32(seed, "generation", one + 1))
    return proposals


def _outcome(problem: Problem, trial: Trial) -> Outcome | None:
    losses = problem.losses(trial)
    if losses is None:
        return None
    return Outcome(
        dict(trial.parameters), tuple(min(loss, FARTHEST) for loss in losses), min(problem.violation(trial), FARTHEST)
    )


def drawn(space: Space, seed: int) -> Parameters:
    """Parameters drawn evenly from the space."""
    generator = numpy.random.default_rng(seed)

    def value_of(parameter: Parameter) -> Any:
        domain = parameter.domain
        if isinstance(domain, Choice):
            return domain.options[int(generator.integers(len(domain.options)))]
        return domain.at(float(generator.random()))

    return space.settle(value_of)


def forget() -> None:
    """Drop every state that was kept in this process; the next questions are answered alike, from the start."""
    with _LOCK:
        _REACHED.clear()
