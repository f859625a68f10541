"""Any task name is a module key and back; widths and words are checked with the setting's name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.gallery import Gallery
from cotrain.core.naming import slot, unslot
from cotrain.core.randomness import derive, generator, untouched
from cotrain.core.widths import layer_widths


@given(st.lists(st.text(max_size=6), unique=True, max_size=5))
def test_every_name_is_a_key_of_its_own_and_comes_back(names: list[str]) -> None:
    modules = nn.ModuleDict({slot(name): nn.Identity() for name in names})
    assert [unslot(key) for key in modules] == names


@pytest.mark.parametrize(
    "name",
    ["values", "a.b", "training", "forward", "", "50%.x", "%2E", "keys", "modules", "version", "of_", "requires_grad"],
)
def test_awkward_names_are_keys(name: str) -> None:
    assert unslot(next(iter(nn.ModuleDict({slot(name): nn.Identity()})))) == name
    assert unslot(next(iter(nn.ParameterDict({slot(name): nn.Parameter(torch.zeros(1))}).keys()))) == name


@pytest.mark.parametrize("wrong", [64, "64", [0], [64.0], [True], [[64]], None, [-1]])
def test_widths_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"mlp\.widths must be a list of whole numbers"):
        layer_widths("mlp.widths", wrong)


def test_widths_may_be_a_list_a_tuple_or_none_at_all() -> None:
    assert layer_widths("w", [3, 2]) == layer_widths("w", (3, 2)) == (3, 2)
    assert layer_widths("w", []) == ()


def test_a_gallery_finds_refuses_and_imports() -> None:
    class Mine:
        name = "mine"

        def __init__(self, *, size: int, rate: float = 0.1) -> None: ...

    gallery = Gallery("thing", (Mine,))
    assert gallery.check("mine", {"size": 3}) is Mine
    for name, settings, message in (
        ("mime", {}, "unknown thing 'mime'; did you mean 'mine'"),
        ("mine", {"sise": 3}, "unknown setting of thing 'mine' 'sise'; did you mean 'size'"),
        ("mine", {}, "needs the setting 'size'"),
        ("no.such.module:Mine", {}, "cannot be imported"),
        ("torch.nn:Linaer", {}, "did you mean 'Linear'"),
    ):
        with pytest.raises(ConfigError, match=message):
            gallery.check(name, settings)
    assert gallery["torch.nn:Linear"] is nn.Linear


def test_streams_differ_by_purpose_and_leave_the_global_one_alone() -> None:
    assert derive(0, "a") != derive(0, "b") != derive(1, "a")
    assert torch.equal(torch.rand(3, generator=generator(1, "x")), torch.rand(3, generator=generator(1, "x")))
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with untouched():
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)
