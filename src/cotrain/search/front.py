"""The trade-off between objectives: the trials that no other beats, how much they cover, and one picked among them (pymoo)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from cotrain.core.errors import ConfigError, StudyError, unknown
from cotrain.search.extras import require
from cotrain.search.problem import Problem
from cotrain.search.trial import Trial

Losses = NDArray[numpy.float64]


def feasible(problem: Problem, trials: Sequence[Trial]) -> list[Trial]:
    """The complete trials that keep all constraints, by number. Raises StudyError if there is none, with the one that came closest."""
    kept = sorted((trial for trial in trials if problem.feasible(trial)), key=lambda trial: trial.number)
    if kept:
        return kept
    judged = [trial for trial in trials if trial.state == "complete" or problem.violation(trial) > 0]
    if not judged:
        raise StudyError(f"none of {len(trials)} trials is complete, so that there is nothing to choose from")
    closest = min(judged, key=lambda trial: (problem.violation(trial), trial.number))
    off = [
        f"{one.name} {closest.values[one.name]:g} against {_bound(one.at_most, one.at_least)}"
        for one, excess in zip(problem.constraints, problem.excesses(closest), strict=True)
        if excess > 0
    ]
    raise StudyError(
        f"none of {len(judged)} trials keeps the constraints; closest came trial {closest.number}: {', '.join(off)}; "
        "loosen the bound or widen the search"
    )


def _bound(at_most: float | None, at_least: float | None) -> str:
    return f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"


def losses(problem: Problem, trials: Sequence[Trial]) -> Losses:
    """[trials, objectives]: less is better, whatever the objective."""
    return numpy.array([problem.losses(trial) for trial in trials], dtype=float).reshape(len(trials), -1)


def pareto_front(problem: Problem, trials: Sequence[Trial]) -> list[Trial]:
    """The feasible trials that no feasible one dominates: none is at least as good in all objectives and better in one. By number.

    With one objective: the best, and all that equal it.
    """
    require("a Pareto front", "pymoo")
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    kept = feasible(problem, trials)
    first = NonDominatedSorting().do(losses(problem, kept), only_non_dominated_front=True)
    return [kept[index] for index in sorted(int(one) for one in first)]


def hypervolume(problem: Problem, trials: Sequence[Trial], reference: Sequence[float]) -> float:
    """How much of the objectives' space the trials cover: the volume of all that one of them dominates and that dominates `reference`.

    reference: one value an objective, in the objective's own direction. Trials that break a constraint cover nothing.
    """
    require("a hypervolume", "pymoo")
    from pymoo.indicators.hv import HV

    if len(reference) != len(problem.objectives):
        raise ConfigError(f"a reference point has {len(problem.objectives)} numbers here, got {len(reference)}")
    corner = numpy.array(
        [objective.loss(value) for objective, value in zip(problem.objectives, reference, strict=True)]
    )
    kept = [trial for trial in trials if problem.feasible(trial)]
    return float(HV(ref_point=corner)(losses(problem, kept))) if kept else 0.0


@dataclass(frozen=True)
class Rule:
    """How one trial is picked. word: "knee", "task" or "budget". name: the number it speaks of. most: as much of it as may be."""

    word: str
    name: str = ""
    most: float = math.inf


def rule_of(text: str) -> Rule:
    """What the words of a rule say (`pick`). Raises ConfigError for words that are none.

    >>> rule_of("task=age"), rule_of("budget=parameters:1e6")
    (Rule(word='task', name='age', most=inf), Rule(word='budget', name='parameters', most=1000000.0))
    """
    word, _, rest = text.partition("=")
    if text == "knee" or (word == "task" and rest):
        return Rule(word, rest)
    if word == "budget" and rest:
        name, _, most = rest.rpartition(":")
        try:
            return Rule(word, name or rest, float(most))
        except ValueError:
            raise ConfigError(f"budget={rest}: NAME:MOST is expected, for instance budget={name or rest}:10") from None
    raise ConfigError(unknown("pick", text, ["knee", "task=NAME", "budget=NAME:MOST"]))


def pick(problem: Problem, trials: Sequence[Trial], rule: str = "knee") -> Trial:
    """One trial: "knee", "task=NAME" or "budget=NAME:MOST". The lowest number among equals.

    knee: the point of the front farthest below the plane through the worst corners, objectives scaled to [0, 1] over the front; that is the
    smallest sum of scaled losses (I. Das, Structural Optimization 18, 1999, for two objectives). With one objective, the best trial.
    task=NAME: the best in that objective; ties by the others in their order.
    budget=NAME:MOST: the best in the first objective that is not NAME among trials whose number NAME is at most MOST.

    Raises ConfigError for another rule or an unknown name, StudyError where no trial qualifies.
    """
    asked = rule_of(rule)
    if asked.word == "knee":
        front = pareto_front(problem, trials)
        return front[int(scaled(losses(problem, front)).sum(axis=1).argmin())]
    if asked.word == "task":
        problem.objective(asked.name)
        return _best(problem, feasible(problem, trials), asked.name)
    return _within(problem, feasible(problem, trials), asked.name, asked.most)


def scaled(points: Losses) -> Losses:
    """Each column of a front from 0 (its best) to 1 (its worst); 0 where it does not vary."""
    low = points.min(axis=0)
    width = points.max(axis=0) - low
    places: Losses = (points - low) / numpy.where(width > 0, width, 1.0)
    return places


def _best(problem: Problem, kept: Sequence[Trial], name: str) -> Trial:
    order = sorted(problem.objectives, key=lambda objective: objective.name != name)
    return min(kept, key=lambda trial: (*(one.loss(trial.values[one.name]) for one in order), trial.number))


def _within(problem: Problem, kept: Sequence[Trial], name: str, most: float) -> Trial:
    measured = sorted({name for trial in kept for name in trial.values})
    if name not in measured:
        raise ConfigError(f"budget: {unknown('number', name, measured)}")
    inside = [trial for trial in kept if trial.values.get(name, numpy.inf) <= most]
    if not inside:
        least = min(trial.values[name] for trial in kept if name in trial.values)
        raise StudyError(f"budget={name}:{most:g}: no trial has {name} of at most {most:g}; the least is {least:g}")
    aims = [objective.name for objective in problem.objectives if objective.name != name]
    return _best(problem, inside, aims[0] if aims else name)
