"""Every combination of a grid once, in a drawn order (Optuna)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cotrain.core.errors import ConfigError
from cotrain.search.checks import at_least
from cotrain.search.domains import Choice, Domain, Integer
from cotrain.search.draws import seed32
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial

LARGEST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All options of choices, and at most `points` values a range, evenly spread over it (or its logarithm), both ends among them.

    points: values a range of numbers has in the grid (5). Trial number n is the n-th combination of an order that the seed draws; after
    the last one the study is over. At most a million combinations.

    Source: Optuna's GridSampler.
    """

    name: ClassVar[str] = "grid"
    family: ClassVar[str] = "blind"
    cost: ClassVar[str] = "nothing; as many trials as there are combinations"
    source: ClassVar[str] = "every combination once; Optuna"
    objectives: ClassVar[tuple[int, int | None]] = (1, None)
    can: ClassVar[frozenset[str]] = frozenset({"numbers", "choices", "constraints"})
    points: int = 5

    def __post_init__(self) -> None:
        at_least("grid.points", self.points, 2)

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters:
        require("sampler 'grid'", "optuna")
        from optuna.samplers import GridSampler

        from cotrain.search.optuna_words import ask

        size = self.most(problem)
        if number >= size:
            raise ConfigError(
                f"sampler 'grid': the grid has {size} combinations, and trial {number} would be one more; "
                "ask for fewer trials or more points"
            )
        values = {one.name: self._values(one.domain) for one in problem.space.parameters}
        # GridSampler reads a seed of 0 as none
        return ask(GridSampler(values, seed=seed32(seed, "grid") or 1), problem, (), number)

    def most(self, problem: Problem) -> int:
        size = math.prod(len(self._values(one.domain)) for one in problem.space.parameters)
        if size > LARGEST:
            raise ConfigError(
                f"sampler 'grid': {size} combinations are more than the {LARGEST} that make sense; "
                f"search fewer parameters, or set points below {self.points}"
            )
        return size

    def _values(self, domain: Domain) -> list[Any]:
        if isinstance(domain, Choice):
            return list(range(len(domain.options)))
        if isinstance(domain, Integer):
            return _whole(domain, self.points)
        return [domain.at(index / (self.points - 1)) for index in range(self.points)]


def _whole(domain: Integer, points: int) -> list[int]:
    last = domain.count - 1
    if domain.log:
        ratio = math.log(domain.high / domain.low)
        spread = [round(domain.low * math.exp(ratio * index / (points - 1))) for index in range(points)]
    else:
        spread = [domain.nth(round(last * index / (points - 1))) for index in range(points)]
    return sorted(set(spread))
