"""Field and Batch: rows are selected, joined and padded without loss; what contradicts itself is refused with its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Batch, Field, cell_weight, label_count, weighted

Row = tuple[bool, list[tuple[float, bool]]]
ROWS = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(st.floats(-9, 9, width=32), st.booleans()), max_size=4)),
    min_size=1,
    max_size=6,
)


def ragged(rows: list[Row]) -> Field:
    cells = [cell for _, row in rows for cell in row]
    return Field(
        torch.tensor([value for value, _ in cells]).reshape(-1),
        torch.tensor([present for present, _ in rows]),
        torch.tensor([0, *(len(row) for _, row in rows)]).cumsum(0),
        torch.tensor([valid for _, valid in cells], dtype=torch.bool),
    )


def listed(field: Field) -> list[Row]:
    """The rows of a ragged field as plain lists."""
    assert field.offsets is not None
    assert field.valid is not None
    bounds = field.offsets.tolist()
    cells = list(zip(field.values.tolist(), field.valid.tolist(), strict=True))
    return [(bool(one), cells[a:b]) for one, a, b in zip(field.present, bounds, bounds[1:], strict=False)]


@given(ROWS, st.data())
def test_selecting_is_picking_from_the_list(rows: list[Row], data: st.DataObject) -> None:
    picked = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=7))
    field = ragged(rows)
    field.check("x")
    chosen = field.select(torch.tensor(picked, dtype=torch.int64))
    chosen.check("x")
    assert listed(chosen) == [rows[row] for row in picked]
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    assert listed(field.select(mask)) == [row for row, keep in zip(rows, mask.tolist(), strict=True) if keep]


@given(st.lists(ROWS, min_size=1, max_size=3))
def test_joining_is_joining_the_lists(parts: list[list[Row]]) -> None:
    whole = Field.cat([ragged(rows) for rows in parts])
    whole.check("x")
    assert listed(whole) == [row for rows in parts for row in rows]


@given(ROWS)
def test_padding_loses_nothing(rows: list[Row]) -> None:
    field = ragged(rows)
    values, mask = field.padded()
    assert mask.sum(1).tolist() == [len(row) for _, row in rows] == field.lengths().tolist()
    assert torch.equal(values[mask], field.values)
    assert not values[~mask].any()
    assert field.row_of_value().tolist() == [index for index, (_, row) in enumerate(rows) for _ in row]


@given(ROWS, st.lists(st.floats(0, 4, width=32), min_size=6, max_size=6))
def test_counts_are_weight_times_valid_whatever_the_rows(rows: list[Row], weights: list[float]) -> None:
    field, weight = ragged(rows), torch.tensor(weights[: len(rows)])
    expected = [w * valid * present for (present, row), w in zip(rows, weights, strict=False) for _, valid in row]
    assert cell_weight(field, weight).tolist() == pytest.approx(expected)
    assert float(label_count(field, weight)) == pytest.approx(sum(expected))
    total, count = weighted(field.values, field, weight)
    values = [value for _, row in rows for value, _ in row]
    assert float(count) == pytest.approx(sum(expected), rel=1e-5)
    assert float(total) == pytest.approx(sum(w * v for w, v in zip(expected, values, strict=True)), rel=1e-4, abs=1e-4)


def test_joining_fields_of_different_kinds_keeps_every_mask() -> None:
    dense = Field(torch.ones(2, 3), torch.tensor([True, False]))
    rowwise = Field(torch.ones(2, 3), torch.ones(2, dtype=torch.bool), None, torch.tensor([True, False]))
    cellwise = Field.dense(torch.ones(1, 3), torch.tensor([[True, False, True]]))
    joined = Field.cat([dense, rowwise, cellwise])
    joined.check("x")
    assert joined.held().int().tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 0, 1]]
    mixed = Field.cat([Field.dense(torch.zeros(2)), Field(torch.ones(3), torch.tensor([True]), torch.tensor([0, 3]))])
    mixed.check("x")
    assert mixed.lengths().tolist() == [1, 1, 3]


def test_filled_puts_zero_where_nothing_is_held() -> None:
    nan = float("nan")
    field = Field(
        torch.tensor([[1.0, nan], [nan, nan]]),
        torch.tensor([True, False]),
        None,
        torch.tensor([[True, False], [True, True]]),
    )
    assert field.filled().tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert Field(torch.tensor([3, -100]), torch.tensor([True, False])).filled().tolist() == [3, 0]


YES = torch.ones(2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (Field(torch.zeros(3), YES), "3 values for 2 rows"),
        (Field(torch.zeros(3), YES, torch.tensor([0, 2, 1])), "rising from 0 to 3"),
        (Field(torch.zeros(3), YES, torch.tensor([0, 3])), "must be 3 numbers"),
        (Field(torch.zeros(3), YES, torch.tensor([], dtype=torch.int64)), "must be 3 numbers"),
        (Field(torch.zeros(2), YES, torch.tensor([0, 2, 1])), "rising"),
        (Field(torch.zeros(2, 2), YES, None, torch.ones(2, 3, dtype=torch.bool)), "valid has shape"),
        (Field(torch.zeros(2), torch.ones(2)), "present must be bool"),
        (Field(torch.zeros(2), YES, None, torch.ones(2)), "valid must be bool"),
    ],
)
def test_a_field_that_contradicts_itself_is_refused_by_name(field: Field, message: str) -> None:
    with pytest.raises(DataError, match=f"field 'age'.*{message}"):
        field.check("age")


def batch() -> Batch:
    return Batch(
        {"x": Field.dense(torch.zeros(3, 2))}, {"y": Field.dense(torch.arange(3.0))}, torch.ones(3), torch.arange(3)
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            replace(batch(), targets={"y": Field.dense(torch.zeros(2))}),
            "target 'y' has 2 rows, the batch of source 'main' has 3",
        ),
        (replace(batch(), weight=torch.ones(2)), r"weight has shape \(2,\)"),
        (replace(batch(), row=torch.arange(4)), r"row has shape \(4,\)"),
        (replace(batch(), weight=torch.tensor([1.0, -1.0, 1.0])), "finite and >= 0, got -1.0 in row 1"),
        (replace(batch(), weight=torch.tensor([1.0, 1.0, float("nan")])), "got nan in row 2"),
        (Batch({}), "has no input"),
    ],
)
def test_a_batch_that_contradicts_itself_is_refused(wrong: Batch, message: str) -> None:
    batch().check()
    with pytest.raises(DataError, match=message):
        wrong.check()


def test_rows_of_a_batch_keep_everything_together() -> None:
    some = batch().select(torch.tensor([2, 0]))
    some.check()
    assert some.targets["y"].values.tolist() == [2.0, 0.0]
    assert some.row is not None
    assert some.row.tolist() == [2, 0]
    by_mask = batch().select(torch.tensor([True, False, True]))
    assert by_mask.targets["y"].values.tolist() == [0.0, 2.0]
    assert len(some.to("cpu")) == 2


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_kind_count_in_float32_or_wider(dtype: torch.dtype) -> None:
    weight = torch.tensor([1, 3], dtype=dtype)
    cells = cell_weight(Field.dense(torch.zeros(2)), weight)
    assert cells.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert cells.tolist() == [1.0, 3.0]


@pytest.mark.parametrize("element", [torch.zeros(3), torch.zeros(2), torch.zeros(2, 1), torch.zeros(())])
def test_element_losses_of_another_shape_are_refused_not_broadcast(element: Tensor) -> None:
    target = Field.dense(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(DataError, match="element losses must be shaped"):
        weighted(element, target, None)


def test_further_axes_are_averaged_so_that_a_row_counts_once() -> None:
    total, count = weighted(
        torch.tensor([[1.0, 3.0], [5.0, 7.0]]), Field.dense(torch.zeros(2, 2)), torch.tensor([1.0, 2.0])
    )
    assert (float(total), float(count)) == (14.0, 3.0)


def test_a_targets_own_weights_go_with_its_rows_and_multiply_the_batchs() -> None:
    own = Field(torch.arange(3.0), torch.tensor([True, True, False]), weight=torch.tensor([2.0, 0.5, 9.0]))
    assert cell_weight(own, None).tolist() == [2.0, 0.5, 0.0]
    assert cell_weight(own, torch.tensor([3.0, 2.0, 1.0])).tolist() == [6.0, 1.0, 0.0]
    assert own.select(torch.tensor([2, 0])).weight is not None
    assert own.select(torch.tensor([2, 0])).weight.tolist() == [9.0, 2.0]  # type: ignore[union-attr]
    both = Field.cat([own, Field.dense(torch.zeros(1))])
    assert both.weight is not None
    assert both.weight.tolist() == [2.0, 0.5, 9.0, 1.0]
    assert own.to("cpu").weight is not None
    ragged = Field(torch.zeros(3), torch.tensor([True, True]), torch.tensor([0, 2, 3]), weight=torch.tensor([2.0, 5.0]))
    assert cell_weight(ragged, None).tolist() == [2.0, 2.0, 5.0]
    for wrong, message in ((torch.ones(2), "weight has shape"), (torch.tensor([1.0, -1.0, 1.0]), "got -1.0 in row 1")):
        with pytest.raises(DataError, match=message):
            Field(own.values, own.present, weight=wrong).check("y")
