"""What a sampler and a pruner promise: answers that depend on the trials and a seed and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from cotrain.search.problem import Problem
from cotrain.search.space import Parameters
from cotrain.search.trial import Trial


@runtime_checkable
class Sampler(Protocol):
    """Proposes what to try next. A frozen dataclass of settings; what it learnt lives in the trials alone.

    objectives: the least and the greatest number of objectives it serves (None: any). can: of "choices", "conditions" (parameters that are
    there under a choice alone), "constraints" (it heeds them; others may be used with none), "numbers" (ranges of numbers).

    `ask(problem, trials, number, seed)` answers the parameters of trial `number`. trials: finished ones, in any order. The same trials,
    number and seed give the same answer in any process, so that every worker can go on where another one fell. There is no tell:
    telling is adding a finished trial.

    `most(problem)`: how many trials there can be at all (a grid has an end), or None.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    cost: ClassVar[str]
    source: ClassVar[str]
    objectives: ClassVar[tuple[int, int | None]]
    can: ClassVar[frozenset[str]]

    def ask(self, problem: Problem, trials: Sequence[Trial], number: int, seed: int) -> Parameters: ...

    def most(self, problem: Problem) -> int | None: ...


@runtime_checkable
class Pruner(Protocol):
    """Says whether a running trial is worth going on with. A frozen dataclass of settings, for one objective.

    `prune(problem, trials, trial)`: trial: the running one, with its intermediate values so far; trials: the others, running ones as well.
    """

    name: ClassVar[str]
    cost: ClassVar[str]
    source: ClassVar[str]

    def prune(self, problem: Problem, trials: Sequence[Trial], trial: Trial) -> bool: ...
