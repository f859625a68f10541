"""What every sampler must do, as checks that a sampler of your own can be put through.

`check_sampler(sampler, problem)` raises `BrokenPromiseError` at the first thing that does not hold, saying which. No test framework is needed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

from cotrain.core.errors import CotrainError
from cotrain.search.draws import seed32
from cotrain.search.generations import forget
from cotrain.search.problem import Problem
from cotrain.search.protocol import Sampler
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


class BrokenPromiseError(CotrainError):
    """A sampler does not do what every sampler must."""


def check_sampler(sampler: Sampler, problem: Problem, *, trials: int = 45, seed: int = 3) -> None:
    """Ask for so many trials, one after the other, with values drawn for them, and look at what comes.

    Every answer lies in the space and is plain JSON. The same trials, number and seed give the same answer from copies of the trials, in any
    order, with nothing remembered. An answer is there whichever trials are missing, failed or of other origin.
    """
    most = sampler.most(problem)
    count = trials if most is None else min(trials, most)
    told: list[Trial] = []
    for number in range(count):
        told.append(made_up(problem, number, _asked(sampler, problem, told, number, seed)))
    for number in (0, 1, count // 2, count - 1):
        _check_the_same(sampler, problem, told, number, seed)
    if count > 1 and all(
        _asked(sampler, problem, told[:number], number, seed + 1) == told[number].parameters for number in range(count)
    ):
        raise BrokenPromiseError(f"{sampler.name}: another seed draws the very same trials")
    for holes in _with_holes(told, seed):
        for number in (count // 2, count - 1):
            _check_the_same(sampler, problem, holes, number, seed)


def made_up(problem: Problem, number: int, parameters: Parameters) -> Trial:
    """A complete trial whose numbers are drawn from its parameters' text: different, and the same each time."""
    text = json.dumps(parameters, sort_keys=True)
    values = {name: seed32(0, name, text) / 2**32 for name in problem.wanted()}
    return Trial(number=number, parameters=parameters).completed(values)


def _asked(sampler: Sampler, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
    answer = sampler.ask(problem, trials, number, seed)
    try:
        problem.space.checked(answer)
        stored = json.loads(json.dumps(answer))
    except (CotrainError, TypeError, ValueError) as error:
        raise BrokenPromiseError(f"{sampler.name}: trial {number} is {answer!r}: {error}") from error
    if stored != answer:
        raise BrokenPromiseError(f"{sampler.name}: trial {number} does not come back from JSON as it was: {answer!r}")
    return answer


def _check_the_same(sampler: Sampler, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> None:
    before = [trial for trial in trials if trial.number < number]
    first = _asked(sampler, problem, before, number, seed)
    copies = [Trial.from_json(json.loads(json.dumps(trial.to_json()))) for trial in before]
    random.Random(seed).shuffle(copies)
    forget()
    if _asked(sampler, problem, copies, number, seed) != first:
        raise BrokenPromiseError(
            f"{sampler.name}: trial {number} depends on more than the trials before it, its number and the seed"
        )


def _with_holes(told: Sequence[Trial], seed: int) -> list[list[Trial]]:
    """The trials with some missing, with some failed, with the first ones missing, and none at all."""
    draw = random.Random(seed)
    missing = [trial for trial in told if draw.random() < 0.7]
    failed = [replace(trial, state="failed", values={}) if draw.random() < 0.3 else trial for trial in told]
    return [missing, failed, list(told[len(told) // 3 :]), []]
