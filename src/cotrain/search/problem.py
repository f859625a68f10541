"""What a search is for: the space, one or several objectives, and what a finished trial may not exceed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cotrain.core.errors import ConfigError, unknown
from cotrain.search.domains import text_of
from cotrain.search.space import Space
from cotrain.search.trial import Trial


@dataclass(frozen=True)
class Objective:
    """One number of a finished trial that should become small, or large where `maximize` says so."""

    name: str
    maximize: bool = False

    def loss(self, value: float) -> float:
        """The value, turned so that less is better."""
        return -value if self.maximize else value

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "maximize": self.maximize}


@dataclass(frozen=True)
class Constraint:
    """One number of a finished trial that may not lie above `at_most` or below `at_least`.

    How far it is off is counted in parts of the bound, (value - at_most) / |at_most|, so that parameters and milliseconds weigh alike;
    with a bound of 0, as it is.
    """

    name: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.at_most, self.at_least) if bound is not None]
        if len(bounds) != 1 or isinstance(bounds[0], bool) or not isinstance(bounds[0], int | float):
            raise ConfigError(
                f"constraint on '{self.name}': one number is expected, at_most or at_least, got at_most {self.at_most!r} "
                f"and at_least {self.at_least!r}"
            )
        if not math.isfinite(bounds[0]):
            raise ConfigError(f"constraint on '{self.name}': a finite bound is expected, got {bounds[0]}")

    def excess(self, value: float) -> float:
        """How far a value is beyond the bound, in parts of it; 0 or less: it keeps the bound; NaN is infinitely far.

        >>> Constraint("parameters", at_most=200).excess(300), Constraint("auc", at_least=0.8).excess(0.9)
        (0.5, -0.125)
        """
        if math.isnan(value):
            return math.inf
        bound = self.at_most if self.at_most is not None else self.at_least
        assert bound is not None  # noqa: S101  __post_init__ saw to it
        over = value - bound if self.at_most is not None else bound - value
        return round(over / abs(bound), 12) if bound else over

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name} | (
            {"at_most": self.at_most} if self.at_most is not None else {"at_least": self.at_least}
        )


@dataclass(frozen=True)
class Problem:
    """A space, what is wanted, and what is not allowed.

    >>> space = Space.from_json({"x": {"low": 0.0, "high": 1.0}})
    >>> problem = Problem(space, (Objective("gain", maximize=True),), (Constraint("latency", at_most=5.0),))
    >>> trial = Trial(number=0, parameters={"x": 0.5}).completed({"gain": 0.25, "latency": 10.0})
    >>> problem.losses(trial), problem.violation(trial), problem.feasible(trial)
    ((-0.25,), 1.0, False)
    """

    space: Space
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "constraints", tuple(self.constraints))
        if not self.objectives:
            raise ConfigError("a search needs an objective, got none")
        names = [objective.name for objective in self.objectives]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"each objective is named once, got '{name}' twice")

    def objective(self, name: str) -> Objective:
        """The objective of that name. Raises ConfigError with the known ones."""
        for objective in self.objectives:
            if objective.name == name:
                return objective
        raise ConfigError(unknown("objective", name, [objective.name for objective in self.objectives]))

    def losses(self, trial: Trial) -> tuple[float, ...] | None:
        """One number an objective, less is better; of a pruned trial its last intermediate value; None where there is nothing.

        A trial that was ended because it breaks a constraint has no such numbers, and is worse than any: inf.
        """
        if trial.state == "complete":
            return tuple(objective.loss(trial.values[objective.name]) for objective in self.objectives)
        if trial.state == "pruned" and len(self.objectives) == 1 and trial.intermediate:
            last = trial.intermediate[max(trial.intermediate)]
            return (self.objectives[0].loss(last),) if math.isfinite(last) else None
        if trial.state == "pruned" and self.violation(trial) > 0:
            return (math.inf,) * len(self.objectives)
        return None

    def excesses(self, trial: Trial) -> tuple[float, ...]:
        """One number a constraint, 0 or less where it is kept; what was not measured counts as kept, in a pruned trial alone."""
        missing = math.inf if trial.state == "complete" else 0.0
        return tuple(
            one.excess(trial.values[one.name]) if one.name in trial.values else missing for one in self.constraints
        )

    def violation(self, trial: Trial) -> float:
        """The sum of what is beyond the bounds; 0: all constraints are kept."""
        return sum(max(0.0, excess) for excess in self.excesses(trial))

    def feasible(self, trial: Trial) -> bool:
        """Whether a trial is complete and keeps all constraints."""
        return trial.state == "complete" and self.violation(trial) <= 0.0

    def wanted(self) -> tuple[str, ...]:
        """The numbers a finished trial must have."""
        names = [objective.name for objective in self.objectives] + [constraint.name for constraint in self.constraints]
        return tuple(dict.fromkeys(names))

    @cached_property
    def fingerprint(self) -> str:
        """A word that is the same for the same space, objectives and constraints, and for no other."""
        return hashlib.sha256(text_of(self.to_json()).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        # the order of parameters decides what a sampler draws for which, so that it belongs to the problem
        return {
            "space": [[name, domain] for name, domain in self.space.to_json().items()],
            "objectives": [objective.to_json() for objective in self.objectives],
            "constraints": [constraint.to_json() for constraint in self.constraints],
        }

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Problem:
        return Problem(
            Space.from_json(dict(plain["space"])),
            tuple(Objective(**one) for one in plain["objectives"]),
            tuple(Constraint(**one) for one in plain["constraints"]),
        )
