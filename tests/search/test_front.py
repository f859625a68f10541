"""The front, what it covers and what is picked from it: numbers a reader can check by hand."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, StudyError
from cotrain.search.front import hypervolume, pareto_front, pick
from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.space import Space
from cotrain.search.trial import Trial

pytest.importorskip("pymoo")

SPACE = Space.from_json({"x": {"low": 0.0, "high": 1.0}})
TWO = Problem(SPACE, (Objective("gain", maximize=True), Objective("cost")))
BOUND = Problem(SPACE, TWO.objectives, (Constraint("latency", at_most=5.0),))
ONE = Problem(SPACE, (Objective("error"),))


def trials(*rows: dict[str, float]) -> list[Trial]:
    return [Trial(number=number, parameters={"x": 0.5}).completed(row) for number, row in enumerate(rows)]


FIVE = trials(
    {"gain": 0.0, "cost": 0.0, "latency": 1.0},
    {"gain": 8.0, "cost": 2.0, "latency": 9.0},
    {"gain": 10.0, "cost": 10.0, "latency": 4.0},
    {"gain": 7.0, "cost": 3.0, "latency": 2.0},
    {"gain": 5.0, "cost": 1.5, "latency": 3.0},
)


def numbers(found: list[Trial]) -> list[int]:
    return [trial.number for trial in found]


def test_the_front_is_what_nothing_beats() -> None:
    assert numbers(pareto_front(TWO, FIVE)) == [0, 1, 2, 4]
    assert numbers(pareto_front(BOUND, FIVE)) == [0, 2, 3, 4]
    unfinished = [*FIVE, Trial(number=5), Trial(number=6, state="failed")]
    assert numbers(pareto_front(TWO, unfinished)) == [0, 1, 2, 4]


def test_with_one_objective_the_front_is_the_best() -> None:
    assert numbers(pareto_front(ONE, trials({"error": 2.0}, {"error": 1.0}, {"error": 1.0}))) == [1, 2]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20))
def test_the_front_agrees_with_its_definition(points: list[tuple[int, int, int]]) -> None:
    problem = Problem(SPACE, (Objective("a"), Objective("b"), Objective("c")))
    told = trials(*({"a": a, "b": b, "c": c} for a, b, c in points))
    rows = numpy.array(points)
    beaten = [bool(((rows <= row).all(axis=1) & (rows < row).any(axis=1)).any()) for row in rows]
    assert numbers(pareto_front(problem, told)) == [index for index, one in enumerate(beaten) if not one]


def test_two_rectangles_cover_what_a_pencil_says() -> None:
    """(gain 8, cost 2) and (gain 10, cost 10) against (0, 12): 8 x 10 + 2 x 2."""
    assert math.isclose(hypervolume(TWO, [FIVE[1], FIVE[2]], (0.0, 12.0)), 84.0)
    assert hypervolume(TWO, FIVE, (20.0, -1.0)) == 0.0
    assert math.isclose(hypervolume(BOUND, [FIVE[1], FIVE[2]], (0.0, 12.0)), 20.0)
    with pytest.raises(ConfigError, match="has 2 numbers here, got 1"):
        hypervolume(TWO, FIVE, (1.0,))


def test_the_knee_is_where_the_curve_bends_most() -> None:
    """Scaled over the front: (1, 0), (.2, .2), (0, 1), (.5, .15); the smallest sum is .4."""
    assert pick(TWO, FIVE).number == 1
    assert pick(ONE, trials({"error": 2.0}, {"error": 1.0})).number == 1


def test_a_task_is_picked_by_its_objective() -> None:
    assert pick(TWO, FIVE, "task=gain").number == 2
    assert pick(TWO, FIVE, "task=cost").number == 0
    with pytest.raises(ConfigError, match="did you mean 'gain'"):
        pick(TWO, FIVE, "task=gian")


def test_a_budget_bounds_any_number() -> None:
    assert pick(TWO, FIVE, "budget=cost:2").number == 1
    assert pick(TWO, FIVE, "budget=latency:3").number == 3
    assert pick(TWO, FIVE, "budget=gain:7").number == 0
    with pytest.raises(StudyError, match="no trial has cost of at most -1; the least is 0"):
        pick(TWO, FIVE, "budget=cost:-1")
    with pytest.raises(ConfigError, match="did you mean 'latency'"):
        pick(TWO, FIVE, "budget=latncy:1")
    with pytest.raises(ConfigError, match="for instance budget=cost:10"):
        pick(TWO, FIVE, "budget=cost:much")


def test_another_rule_is_answered_with_the_known_ones() -> None:
    for rule in ("kne", "task=", "best"):
        with pytest.raises(ConfigError, match="Known: knee, task=NAME, budget=NAME:MOST"):
            pick(TWO, FIVE, rule)


def test_without_a_trial_that_qualifies_the_closest_is_named() -> None:
    with pytest.raises(
        StudyError,
        match="none of 2 trials keeps the constraints; closest came trial 1: latency 6 against at most 5",
    ):
        pick(BOUND, trials({"gain": 1, "cost": 1, "latency": 9}, {"gain": 0, "cost": 1, "latency": 6}))
    with pytest.raises(StudyError, match="none of 1 trials is complete"):
        pick(TWO, [Trial(number=0)])
