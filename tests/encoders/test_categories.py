"""Categories: widths by cardinality, tables shared by columns of equal width."""

from __future__ import annotations

import math

import pytest
import torch

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.categories import CategoryVectors, width_by_cardinality
from cotrain.encoders.mlp import MLP


def test_widths_rise_with_the_number_of_codes_up_to_fifty() -> None:
    widths = [width_by_cardinality(count) for count in range(1, 2000)]
    assert widths == sorted(widths)
    assert max(widths) == 50
    assert widths[99] == math.ceil(1.6 * 100**0.56) == 22


def test_columns_of_equal_width_share_a_table_and_keep_their_own_rows() -> None:
    vectors = CategoryVectors([100, 4, 101, 4], "auto")
    assert vectors.widths == (4, 4, 22, 22)
    assert [len(table.table.weight) for table in vectors.tables] == [8, 201]
    codes = torch.stack([torch.randint(size, (9,)) for size in (100, 4, 101, 4)], 1)
    small, large = (table.table.weight for table in vectors.tables)
    expected = torch.cat([small[codes[:, 1]], small[4 + codes[:, 3]], large[codes[:, 0]], large[100 + codes[:, 2]]], 1)
    assert torch.equal(vectors(codes), expected)


def test_code_zero_begins_at_nothing_and_the_others_weigh_like_a_number() -> None:
    vectors = CategoryVectors([500, 500], "auto")
    codes = torch.zeros(1, 2, dtype=torch.int64)
    assert bool((vectors(codes) == 0).all())
    codes = torch.randint(1, 500, (4000, 2))
    assert float(vectors(codes).detach().square().sum(1).mean()) == pytest.approx(2.0, rel=0.1)


def test_bags_of_words_stand_beside_the_numbers_as_they_are() -> None:
    spec = {
        "words": FieldSpec("bag", names=("the", "cat")),
        "size": FieldSpec("category", names=("s",), cardinalities=(3,)),
        "x": FieldSpec("number", names=("a",)),
    }
    encoder = MLP(widths=[4], category_width="auto").build(spec)
    fields = {
        "words": Field.dense(torch.rand(5, 2)),
        "size": Field.dense(torch.ones(5, 1, dtype=torch.int64)),
        "x": Field.dense(torch.randn(5, 1)),
    }
    flat = encoder.embed(fields).values
    assert torch.equal(flat[:, :3], torch.cat([fields["x"].values, fields["words"].values], 1))
    assert encoder.columns.widths == (1, 1, 1, 3)
