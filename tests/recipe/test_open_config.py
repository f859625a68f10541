"""A config with open values as a space: every search a parameter, parts inside options there with their option alone."""

from __future__ import annotations

from typing import Any

import pytest

from cotrain.core.errors import ConfigError
from cotrain.recipe.config import config_from_dict
from cotrain.recipe.open_config import opened
from cotrain.recipe.searches import searches


def mmoe(low: int, high: int) -> dict[str, Any]:
    return {"name": "mmoe", "experts": {"search": {"low": low, "high": high}}}


def test_every_search_is_a_parameter_named_by_the_way_to_it() -> None:
    found = opened(
        {
            "train": {"optimizer": {"lr": {"search": {"low": 1e-4, "high": 1e-2, "log": True}}}},
            "encoder": {"name": "mlp", "widths": {"search": {"choice": [[64], [64, 64]]}}},
        }
    )
    assert [parameter.name for parameter in found.space.parameters] == ["train.optimizer.lr", "encoder.widths"]
    assert found.default is None
    closed = found.closed({"train.optimizer.lr": 0.001, "encoder.widths": "[64, 64]"})
    assert closed == {"train": {"optimizer": {"lr": 0.001}}, "encoder": {"name": "mlp", "widths": [64, 64]}}


def test_what_an_option_opens_is_there_with_that_option_alone() -> None:
    found = opened({"sharing": {"search": {"choice": ["hard", mmoe(2, 8)], "default": "hard"}}})
    assert found.default == {"sharing": "hard"}
    assert found.closed({"sharing": "hard"}) == {"sharing": "hard"}
    assert found.closed({"sharing": "mmoe", "sharing.experts": 3}) == {"sharing": {"name": "mmoe", "experts": 3}}
    assert [one.name for one in found.space.active({"sharing": "hard"})] == ["sharing"]


def test_the_same_setting_in_two_options_is_one_parameter_and_another_range_is_another() -> None:
    other = {"name": "dselect_k", "experts": {"search": {"low": 2, "high": 8}}}
    same = opened({"sharing": {"search": {"choice": [mmoe(2, 8), other]}}})
    assert [parameter.name for parameter in same.space.parameters] == ["sharing", "sharing.experts"]
    assert same.closed({"sharing": "dselect_k", "sharing.experts": 5})["sharing"] == {"name": "dselect_k", "experts": 5}
    differ = opened({"sharing": {"search": {"choice": [mmoe(2, 4), other]}}})
    names = [parameter.name for parameter in differ.space.parameters]
    assert names == ["sharing", "sharing.experts", "sharing.experts (dselect_k)"]
    closed = differ.closed({"sharing": "dselect_k", "sharing.experts (dselect_k)": 7})
    assert closed["sharing"] == {"name": "dselect_k", "experts": 7}


def test_a_closed_config_is_an_ordinary_one() -> None:
    tree = {
        "tasks": {"a": "regression"},
        "sharing": {"search": {"choice": ["hard", mmoe(2, 8)]}},
        "train": {"epochs": {"search": {"low": 1, "high": 9}}},
    }
    found = opened(tree)
    config = config_from_dict(
        found.closed({"sharing": "mmoe", "sharing.experts": 4, "train.epochs": 3}), table={"a": [1.0], "x": [2.0]}
    )
    assert (config.sharing.name, config.sharing.settings["experts"], config.train.epochs) == ("mmoe", 4, 3)
    assert searches(found.tree)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"low": 2, "high": 1}, "low < high"),
        ({"low": 1, "hihg": 2}, "did you mean 'high'"),
        ({"choice": ["a"]}, "two options"),
        ({"low": 0, "high": 1.0, "log": True}, "low > 0"),
        ({"low": 0.1, "high": 1.0, "default": 2.0}, "can be chosen, a number from 0.1 to 1"),
        ({"choice": ["a", "b"], "default": "c"}, "can be chosen, one of"),
        ("a", "search"),
    ],
)
def test_a_search_that_cannot_be_is_named_with_its_place(asked: Any, what: str) -> None:
    with pytest.raises(ConfigError, match=what) as told:
        opened({"train": {"dropout": {"search": asked}}})
    assert "train.dropout" in str(told.value)


def test_a_config_with_nothing_open_is_told_how_to_open_something() -> None:
    with pytest.raises(ConfigError, match="--auto"):
        opened({"tasks": {"a": "binary"}})
