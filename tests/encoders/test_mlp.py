"""The MLP encoder: numbers beside embedded categories, one stage a width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.categories import CategoryTable
from cotrain.encoders.mlp import MLP

SPEC = {
    "numbers": FieldSpec("number", names=("a", "b", "c")),
    "words.x": FieldSpec("category", names=("d", "e"), cardinalities=(4, 3)),
}


def fields() -> dict[str, Field]:
    codes = torch.stack([torch.randint(4, (6,)), torch.randint(3, (6,))], 1)
    return {"numbers": Field.dense(torch.randn(6, 3)), "words.x": Field.dense(codes)}


def test_embed_puts_numbers_beside_each_columns_own_embedding() -> None:
    encoder = MLP(widths=[7], category_width=5).build(SPEC)
    given = fields()
    signal = encoder.embed(given)
    table = encoder.columns.tables["of_words%2Ex"].tables[0].table.weight
    codes = given["words.x"].values
    expected = torch.cat([given["numbers"].values, table[codes[:, 0]], table[4 + codes[:, 1]]], 1)
    torch.testing.assert_close(signal.values, expected)
    assert signal.layout == "vector"
    assert [shape.width for shape in encoder.shapes] == [13, 7]


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_stages_answer_the_shapes_they_promise(norm: Any, activation: Any) -> None:
    encoder = MLP(widths=[9, 4], norm=norm, activation=activation).build(SPEC)
    signal = encoder.embed(fields())
    widths = [signal.values.shape[1]]
    for stage in encoder.stages:
        signal = stage(signal)
        widths.append(signal.values.shape[1])
    assert widths == [shape.width for shape in encoder.shapes]
    kinds = [type(layer) for layer in encoder.stages[0].layers]
    assert kinds[0] is nn.Linear
    assert (nn.LayerNorm in kinds, nn.BatchNorm1d in kinds) == (norm == "layer", norm == "batch")
    assert kinds[-1] is nn.Dropout


def test_a_width_ends_embed_in_a_linear_map_of_that_width() -> None:
    encoder = MLP(widths=[4]).build(SPEC, 11)
    given = fields()
    plain = torch.cat([given["numbers"].values, encoder.columns.tables["of_words%2Ex"](given["words.x"].values)], 1)
    torch.testing.assert_close(encoder.embed(given).values, encoder.project(plain))
    assert encoder.shapes[0].width == 11


def test_a_category_weighs_about_as_much_as_a_standardised_number() -> None:
    table = CategoryTable([1000, 1000], 8)
    assert float(table.table.weight.detach().square().sum(1).mean()) == pytest.approx(1.0, rel=0.1)


def test_one_number_a_row_may_come_without_its_axis() -> None:
    encoder = MLP(widths=[4]).build({"x": FieldSpec("number", names=("a",))})
    values = torch.randn(5)
    torch.testing.assert_close(encoder.embed({"x": Field.dense(values)}).values, values[:, None])


@pytest.mark.parametrize(
    "wrong",
    [{"widths": 64}, {"widths": "64"}, {"widths": [0]}, {"widths": [2.5]}, {"dropout": 1}, {"activation": "rleu"}, {"norm": "group"},
     {"category_width": 0}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"mlp.{next(iter(wrong))}"):
        MLP(**wrong)


def test_inputs_it_cannot_read_are_refused() -> None:
    with pytest.raises(ConfigError, match="input 'photo' is of kind 'image'"):
        MLP().build({"photo": FieldSpec("image")})
    with pytest.raises(ConfigError, match="no usable input column"):
        MLP().build({})


def test_settings_are_values() -> None:
    assert MLP(widths=[8, 8]) == MLP(widths=(8, 8))
    assert hash(MLP(widths=[8])) == hash(MLP(widths=(8,)))
