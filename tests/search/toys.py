"""Problems with known answers, and a study run in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.protocol import Sampler
from cotrain.search.space import Space
from cotrain.search.trial import Trial

NUMBERS = Space.from_json({f"x{index}": {"kind": "float", "low": -5.0, "high": 5.0} for index in range(5)})
MIXED = Space.from_json(
    {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"kind": "integer", "low": 16, "high": 256, "log": True},
        "layers": {"kind": "integer", "low": 1, "high": 4},
        "batch": {"kind": "integer", "low": 32, "high": 256, "step": 32},
        "optimizer": {"choice": ["adamw", "sgd", "adam"]},
        "norm": {"choice": [None, True, {"name": "layer", "eps": 1e-5}]},
    }
)
CONDITIONAL = Space.from_json(
    {
        "sharing": {"choice": ["hard", "mmoe", "ple"]},
        "experts": {"kind": "integer", "low": 2, "high": 16, "when": {"sharing": ["mmoe", "ple"]}},
        "gate": {"choice": ["soft", "top"], "when": {"sharing": "mmoe"}},
        "k": {"kind": "integer", "low": 1, "high": 4, "when": {"gate": "top"}},
        "dropout": {"low": 0.0, "high": 0.5},
    }
)

F = Objective("f")
G = Objective("g", maximize=True)
BOUND = Constraint("cost", at_most=0.5)

PROBLEMS = {
    "numbers": Problem(NUMBERS, (F,)),
    "mixed": Problem(MIXED, (F,)),
    "conditional": Problem(CONDITIONAL, (F,)),
    "constrained": Problem(MIXED, (F,), (BOUND,)),
    "several": Problem(NUMBERS, (F, G)),
    "several, conditional, constrained": Problem(CONDITIONAL, (F, G), (BOUND,)),
    "one number": Problem(Space.from_json({"x": {"low": 0.0, "high": 1.0}}), (F,)),
    "one choice": Problem(Space.from_json({"a": {"choice": ["x", "y"]}}), (F,)),
}


def run(
    sampler: Sampler,
    problem: Problem,
    measure: Callable[[dict[str, Any]], dict[str, float]],
    trials: int,
    seed: int = 0,
) -> list[Trial]:
    """Trials one after the other."""
    told: list[Trial] = []
    for number in range(trials):
        parameters = sampler.ask(problem, told, number, seed)
        told.append(Trial(number=number, parameters=parameters).completed(measure(parameters)))
    return told


def sphere(parameters: dict[str, float]) -> float:
    """sum (x - 1)^2, 0 at 1."""
    return sum((value - 1.0) ** 2 for value in parameters.values())
