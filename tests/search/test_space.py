"""Spaces: what may vary, checked at the door, there and back through JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.toys import CONDITIONAL, MIXED, PROBLEMS

from cotrain.core.errors import ConfigError
from cotrain.search.cube import Cube
from cotrain.search.domains import Choice, Float, Integer
from cotrain.search.generations import drawn
from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.space import Space
from cotrain.search.trial import Trial


@given(place=st.floats(0, 1), low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_a_place_in_a_range_is_found_again(place: float, low: float, width: float) -> None:
    domain = Float(low=low, high=low + width)
    value = domain.at(place)
    assert domain.holds(value)
    assert math.isclose(domain.place(value), place, abs_tol=1e-6)


@given(place=st.floats(0, 1), low=st.floats(-8, 2), decades=st.floats(0.5, 8))
def test_a_place_in_a_logarithmic_range_is_found_again(place: float, low: float, decades: float) -> None:
    domain = Float(low=10**low, high=10 ** (low + decades), log=True)
    assert domain.holds(domain.at(place))
    assert math.isclose(domain.place(domain.at(place)), place, abs_tol=1e-6)


@given(low=st.integers(-50, 50), width=st.integers(1, 200), step=st.integers(1, 7))
def test_every_whole_number_is_where_its_place_says(low: int, width: int, step: int) -> None:
    if width < step:
        return
    domain = Integer(low=low, high=low + width, step=step)
    for index in range(domain.count):
        value = domain.nth(index)
        assert domain.holds(value)
        assert domain.at(domain.place(value)) == value


@given(low=st.integers(1, 50), width=st.integers(1, 2000))
def test_every_whole_number_has_a_place_in_a_logarithmic_range(low: int, width: int) -> None:
    domain = Integer(low=low, high=low + width, log=True)
    assert all(domain.at(domain.place(value)) == value for value in range(low, low + width + 1, max(1, width // 50)))


def test_whole_numbers_are_equally_likely() -> None:
    counts = numpy.bincount([Integer(low=0, high=4).at(place) for place in numpy.linspace(0, 1, 10_001)])
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("space", [MIXED, CONDITIONAL])
@given(seed=st.integers(0, 2**32 - 1))
def test_points_of_the_cube_stand_for_parameters_and_back(space: Space, seed: int) -> None:
    cube, parameters = Cube(space), drawn(space, seed)
    space.checked(parameters)
    again = cube.parameters(cube.point(parameters))
    assert {key: value for key, value in again.items() if not isinstance(value, float)} == {
        key: value for key, value in parameters.items() if not isinstance(value, float)
    }
    assert all(
        math.isclose(again[key], value, rel_tol=1e-9, abs_tol=1e-12)
        for key, value in parameters.items()
        if isinstance(value, float)
    )


def test_genes_stand_for_parameters_and_back() -> None:
    pytest.importorskip("pymoo")
    from cotrain.search.genes import Genes

    for space in (MIXED, CONDITIONAL):
        genes = Genes(space)
        for seed in range(50):
            parameters = drawn(space, seed)
            again = genes.parameters(genes.point(parameters))
            assert list(again) == list(parameters)
            assert all(
                again[key] == pytest.approx(value) if isinstance(value, float) else again[key] == value
                for key, value in parameters.items()
            )


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_comes_back_from_json(name: str) -> None:
    problem = PROBLEMS[name]
    again = Problem.from_json(json.loads(json.dumps(problem.to_json())))
    assert again == problem
    assert again.fingerprint == problem.fingerprint


def test_another_problem_has_another_fingerprint() -> None:
    problem = PROBLEMS["constrained"]
    words = {one.fingerprint for one in PROBLEMS.values()}
    assert len(words) == len(PROBLEMS)
    other = Problem(problem.space, problem.objectives, (Constraint("cost", at_most=0.6),))
    assert other.fingerprint not in words


def test_conditional_parameters_are_there_under_their_choice_alone() -> None:
    def names(**values: Any) -> list[str]:
        return [one.name for one in CONDITIONAL.active(values)]

    assert names(sharing="hard") == ["sharing", "dropout"]
    assert names(sharing="ple") == ["sharing", "dropout", "experts"]
    assert names(sharing="mmoe", gate="top") == ["sharing", "dropout", "experts", "gate", "k"]
    assert names(sharing="hard", gate="top") == ["sharing", "dropout"]


def test_parents_come_first_however_they_are_written() -> None:
    space = Space.from_json({"k": {"low": 1, "high": 3, "when": {"gate": "top"}}, "gate": {"choice": ["top", "soft"]}})
    assert list(space.by_name) == ["gate", "k"]


def test_options_are_the_same_when_their_json_is() -> None:
    choice = Choice(options=(1, 1.0, True, "1", [1], {"b": 2, "a": 1}))
    assert [choice.index(option) for option in (1, 1.0, True, "1", [1], {"a": 1, "b": 2})] == [0, 1, 2, 3, 4, 5]


def test_how_many_combinations_there_are() -> None:
    assert Space.from_json({"a": {"choice": ["x", "y"]}, "b": {"low": 1, "high": 8, "step": 3}}).size == 6
    assert MIXED.size is None


WRONG: list[tuple[Any, str]] = [
    ({"a": {"low": 2.0, "high": 1.0}}, r"a: .*low < high, got low 2.0 and high 1.0; are they the wrong way round"),
    ({"a": {"low": 1, "high": 1}}, "write the value instead of a search"),
    ({"a": {"low": 0.0, "high": 1.0, "log": True}}, "logarithmic float range needs low > 0, got 0"),
    ({"a": {"low": float("nan"), "high": 1.0}}, "finite number for `low`, got nan"),
    ({"a": {"low": "1e-3", "high": 1.0}}, "finite number for `low`, got '1e-3'"),
    ({"a": {"low": 1.0}}, "needs `high`"),
    ({"a": {"low": 1, "high": 9, "stepp": 2}}, "did you mean 'step'"),
    ({"a": {"low": 1, "high": 9, "step": 0}}, "step >= 1, got 0"),
    ({"a": {"low": 1, "high": 9, "step": 20}}, "leaves one value"),
    ({"a": {"low": 1, "high": 9, "step": 2, "log": True}}, "either logarithmic or in steps"),
    ({"a": {"kind": "integer", "low": 0.5, "high": 9}}, "a whole number for `low`, got 0.5"),
    ({"a": {"kind": "flaot", "low": 0.5, "high": 9}}, "did you mean 'float'"),
    ({"a": {"choice": "xy"}}, "a list of options, got 'xy'"),
    ({"a": {"choice": ["x"]}}, "two options or more"),
    ({"a": {"choice": ["x", "x"]}}, 'names each option once, got "x" twice'),
    ({"a": {"choice": ["x", {1, 2}]}}, "a plain value is expected"),
    ({"a": 3}, "a search is .*got 3"),
    ({}, "something to vary"),
    ({"a": {"low": 1, "high": 2, "when": {"sharnig": "x"}}, "sharing": {"choice": ["x", "y"]}}, "a.when: unknown choice 'sharnig'; did you mean 'sharing'"),
    ({"a": {"low": 1, "high": 2, "when": {"sharing": "z"}}, "sharing": {"choice": ["x", "y"]}}, "a.when.sharing: unknown option 'z'.*Known: x, y"),
    ({"a": {"low": 1, "high": 2, "when": {"b": 1}}, "b": {"low": 1, "high": 2}}, "a condition needs a choice, and 'b' is a whole number"),
    ({"a": {"choice": ["x", "y"], "when": {"b": "x"}}, "b": {"choice": ["x", "y"], "when": {"a": "x"}}}, "in a circle: a, b"),
    ({"a": {"low": 1, "high": 2, "when": {"b": []}}, "b": {"choice": ["x", "y"]}}, "names no option"),
    ({"a": {"low": 1, "high": 2, "when": "b"}}, r"a.when: \{choice: option\} is expected"),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "says"), WRONG)
def test_what_cannot_be_searched_is_said(plain: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Space.from_json(plain)


def test_parameters_that_do_not_fit_are_said() -> None:
    for values, says in (
        ({"sharing": "hard"}, "'dropout' is missing: a number from 0 to 0.5"),
        ({"sharing": "hard", "dropout": 0.9}, "'dropout' is a number from 0 to 0.5, got 0.9"),
        ({"sharing": "hard", "dropout": 0.1, "experts": 3}, "'experts' is not there under these choices"),
        ({"sharing": "hard", "droput": 0.1}, "did you mean 'dropout'"),
    ):
        with pytest.raises(ConfigError, match=says):
            CONDITIONAL.checked(values)


def test_objectives_and_constraints_are_checked() -> None:
    with pytest.raises(ConfigError, match="needs an objective"):
        Problem(MIXED, ())
    with pytest.raises(ConfigError, match="named once, got 'f' twice"):
        Problem(MIXED, (Objective("f"), Objective("f")))
    with pytest.raises(ConfigError, match="at_most or at_least"):
        Constraint("cost")
    with pytest.raises(ConfigError, match="at_most or at_least"):
        Constraint("cost", at_most=1.0, at_least=0.0)
    with pytest.raises(ConfigError, match="did you mean 'gain'"):
        Problem(MIXED, (Objective("gain"),)).objective("gian")


def test_a_trial_comes_back_from_json() -> None:
    trial = Trial(
        number=4, parameters={"a": [1, None]}, state="pruned", intermediate={2: 0.5}, seed=3, worker="w", error="e"
    )
    assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial
    with pytest.raises(ValueError, match="a trial's state"):
        Trial(number=0, state="done")  # type: ignore[arg-type]
