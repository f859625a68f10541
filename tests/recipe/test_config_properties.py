"""Whatever is written in a config, the answer is a config or a list of problems; never another error."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.problems import ConfigProblems, Problem
from cotrain.recipe.yaml_source import parse_yaml

WHOLE: dict[str, Any] = {
    "name": "census",
    "data": {"path": "census.csv", "kinds": {"zip": "category"}, "split": {"method": "group", "by": "who", "fractions": [0.6, 0.1, 0.3]}},
    "inputs": {"rest": {"columns": ["*"], "kind": "number", "encoder": {"name": "mlp", "widths": [4]}}},
    "tasks": {"income": {"column": "income", "kind": "binary", "head": {"name": "mlp", "widths": [8]}, "threshold": 0.4}, "age": "regression"},
    "encoder": {"name": "mlp", "widths": [8, 8], "dropout": 0.1},
    "sharing": {"name": "mmoe", "experts": 2},
    "balance": {"name": "nash_mtl", "engine": {"mode": "exact", "chunk": None}},
    "train": {"epochs": 3, "optimizer": {"name": "adamw", "lr": 0.1, "betas": [0.9, 0.99]}, "early_stopping": {"patience": 5}},
    "seed": 0,
    "compare": {"seeds": [0, 1], "variants": {"a": {"sharing": "hard", "train": {"epochs": 1}}}},
}  # fmt: skip

WORDS = st.sampled_from(
    ["", "name", "mlp", "binary", "search", "*", "-", "a:b", "os:getcwd", "a.b", "0", "nan", "é", "engine"]
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | WORDS | st.text(max_size=5)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a tree, the root aside."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, value in inner for found in [(*path, key), *places(value, (*path, key))]]


PLACES = places(WHOLE)


def planted(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The whole config with `value` at `place`."""
    tree = copy.deepcopy(WHOLE)
    node: Any = tree
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return tree


def read(tree: dict[str, Any]) -> Config | None:
    """The config, or None where it is refused with at least one problem in words; any other error is the test's failure."""
    found: tuple[Problem, ...] = ()
    try:
        return config_from_dict(tree, files=False)
    except ConfigProblems as error:
        found = error.problems
    assert found
    assert all(problem.message for problem in found)
    return None


def test_the_config_itself_is_sound() -> None:
    assert config_from_dict(WHOLE, files=False).tasks["income"].head is not None


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(PLACES), value=TREES)
def test_any_value_at_any_place_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    config = read(planted(place, value))
    assert config is None or parse_yaml(config.to_yaml()).tree["name"] == config.name


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), key=WORDS.filter(bool), value=LEAVES)
def test_an_unknown_key_is_read_or_refused(place: tuple[Any, ...], key: str, value: Any) -> None:
    tree = copy.deepcopy(WHOLE)
    node: Any = tree
    for part in place:
        node = node[part]
    if isinstance(node, dict):
        node[key] = value
    read(tree)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`?, \n\t01.\\<~", max_size=40))
def test_any_text_is_yaml_or_a_problem(text: str) -> None:
    found: tuple[Problem, ...] = ()
    try:
        parse_yaml(text)
    except ConfigProblems as error:
        found = error.problems
    assert all(problem.message.startswith("expected") for problem in found)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_what_json_writes_yaml_reads(tree: Any) -> None:
    assert parse_yaml(json.dumps({"tree": tree}, ensure_ascii=False)).tree == {"tree": tree}
