"""How the samplers do on functions whose answer is known, beside random search with as many evaluations.

    python benchmarks/samplers.py [--seeds 20] [--evaluations 200] [--only single|front] [--samplers genetic,tpe] [--out results.jsonl]

Single objective, five dimensions (population 20, where there is one): sphere and Rastrigin in [-5.12, 5.12]^5, the optimum moved off the
centre; Rosenbrock in [-2, 2]^5; `mixed`: two logarithmic numbers, a whole number, a choice and a conditional parameter; `constrained`: sphere
whose optimum may not be reached. One JSON line a sampler and function: the median of the best value, in how many seeds it lies below random
search's with the same seed, milliseconds a question. `front`: NSGA-II and NSGA-III on ZDT1 (30 variables, population 20, 5,000
evaluations): the share of the front's hypervolume against (1.1, 1.1), and that of random search.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from cotrain.search.fits import lacks
from cotrain.search.front import hypervolume
from cotrain.search.gallery import SAMPLERS
from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.protocol import Sampler
from cotrain.search.space import Space
from cotrain.search.trial import Trial

Measure = Callable[[dict[str, Any]], dict[str, float]]
MOVED = (1.0, -2.0, 0.5, 3.0, -1.5)


def box(count: int, low: float, high: float) -> Space:
    return Space.from_json({f"x{index}": {"kind": "float", "low": low, "high": high} for index in range(count)})


def sphere(parameters: dict[str, Any]) -> float:
    return sum((value - moved) ** 2 for value, moved in zip(parameters.values(), MOVED, strict=True))


def rastrigin(parameters: dict[str, Any]) -> float:
    off = [value - moved for value, moved in zip(parameters.values(), MOVED, strict=True)]
    return sum(10.0 + one * one - 10.0 * math.cos(2.0 * math.pi * one) for one in off)


def rosenbrock(parameters: dict[str, Any]) -> float:
    x = list(parameters.values())
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(x))


MIXED = Space.from_json(
    {
        "lr": {"low": 1e-5, "high": 1e-1, "log": True},
        "decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "layers": {"kind": "integer", "low": 1, "high": 8},
        "sharing": {"choice": ["hard", "mmoe", "ple", "cross_stitch"]},
        "experts": {"kind": "integer", "low": 2, "high": 16, "when": {"sharing": ["mmoe", "ple"]}},
    }
)


def mixed(parameters: dict[str, Any]) -> float:
    """0 at lr 3e-3, decay 1e-4, 3 layers, mmoe with 8 experts; the learning rate's best place depends on the sharing."""
    place = {"hard": -3.0, "mmoe": math.log10(3e-3), "ple": -2.0, "cross_stitch": -4.0}[parameters["sharing"]]
    loss = (math.log10(parameters["lr"]) - place) ** 2 + 0.3 * (math.log10(parameters["decay"]) + 4.0) ** 2
    loss += 0.1 * (parameters["layers"] - 3) ** 2
    worse = {"hard": 0.5, "mmoe": 0.0, "ple": 0.1, "cross_stitch": 0.7}[parameters["sharing"]]
    return loss + worse + 0.02 * (parameters.get("experts", 8) - 8) ** 2


F = Objective("f")
SINGLE: dict[str, tuple[Problem, Measure]] = {
    "sphere": (Problem(box(5, -5.12, 5.12), (F,)), lambda p: {"f": sphere(p)}),
    "rastrigin": (Problem(box(5, -5.12, 5.12), (F,)), lambda p: {"f": rastrigin(p)}),
    "rosenbrock": (Problem(box(5, -2.0, 2.0), (F,)), lambda p: {"f": rosenbrock(p)}),
    "mixed": (Problem(MIXED, (F,)), lambda p: {"f": mixed(p)}),
    "constrained": (
        Problem(box(5, -5.12, 5.12), (F,), (Constraint("sum", at_most=-4.0),)),
        lambda p: {"f": sphere(p), "sum": sum(p.values())},
    ),
}
"""The constrained optimum: the sum of MOVED is 1, so that -4 is 5 / sqrt 5 away: f = 5."""

ZDT1 = Problem(box(30, 0.0, 1.0), (Objective("f1"), Objective("f2")))
FRONT = 1.1 * 1.1 - 1.0 / 3.0
"""What f2 = 1 - sqrt f1 covers against (1.1, 1.1): 1.21 less the area below it, 1/3."""


def zdt1(parameters: dict[str, Any]) -> dict[str, float]:
    first, *rest = parameters.values()
    g = 1.0 + 9.0 * sum(rest) / len(rest)
    return {"f1": first, "f2": g * (1.0 - math.sqrt(first / g))}


def run(sampler: Sampler, problem: Problem, measure: Measure, evaluations: int, seed: int) -> tuple[list[Trial], float]:
    """Trials one after the other, and seconds of processor spent on asking."""
    told: list[Trial] = []
    begun = time.process_time()
    for number in range(evaluations):
        parameters = sampler.ask(problem, told, number, seed)
        told.append(Trial(number=number, parameters=parameters).completed(measure(parameters)))
    return told, time.process_time() - begun


def best(problem: Problem, told: list[Trial]) -> float:
    return min((trial.values["f"] for trial in told if problem.feasible(trial)), default=math.inf)


def single(names: list[str], evaluations: int, seeds: int) -> Iterator[dict[str, Any]]:
    for function, (problem, measure) in SINGLE.items():
        chance = [
            best(problem, run(SAMPLERS["random"](), problem, measure, evaluations, seed)[0]) for seed in range(seeds)
        ]
        yield {"function": function, "sampler": "random", "median": round(statistics.median(chance), 4)}
        for name in names:
            cls = SAMPLERS[name]
            if name == "random" or lacks(cls, problem) is not None:
                continue
            found, seconds = [], 0.0
            for seed in range(seeds):
                told, spent = run(cls(), problem, measure, evaluations, seed)
                found.append(best(problem, told))
                seconds += spent
            yield {
                "function": function,
                "sampler": name,
                "median": round(statistics.median(found), 4),
                "better_than_random": sum(ours < theirs for ours, theirs in zip(found, chance, strict=True)),
                "seeds": seeds,
                "evaluations": evaluations,
                "ms": round(1000 * seconds / seeds / evaluations, 2),
            }


def front(evaluations: int, seeds: int) -> Iterator[dict[str, Any]]:
    for name in ("nsga2", "nsga3", "random"):
        shares, seconds = [], 0.0
        for seed in range(seeds):
            told, spent = run(SAMPLERS[name](), ZDT1, zdt1, evaluations, seed)
            shares.append(hypervolume(ZDT1, told, (1.1, 1.1)) / FRONT)
            seconds += spent
        yield {
            "function": "zdt1",
            "sampler": name,
            "share": [round(share, 4) for share in shares],
            "evaluations": evaluations,
            "ms": round(1000 * seconds / seeds / evaluations, 2),
        }


def main() -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--only", choices=("single", "front"), default=None)
    parser.add_argument("--samplers", default="tpe,cmaes,genetic,particle_swarm,differential_evolution")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    lines: list[Iterator[dict[str, Any]]] = []
    if arguments.only != "front":
        lines.append(single(arguments.samplers.split(","), arguments.evaluations, arguments.seeds))
    if arguments.only != "single":
        lines.append(front(5000, min(arguments.seeds, 3)))
    for line in (one for part in lines for one in part):
        text = json.dumps(line)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if arguments.out is not None:
            with arguments.out.open("a") as file:
                file.write(text + "\n")


if __name__ == "__main__":
    main()
