"""Number targets: standardised on the rows they were fitted on, masked cell by cell, refused where they are no numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.tasks.numbers import NumberCodec
from cotrain.tasks.regression import Regression

NUMBERS = st.none() | st.just(float("nan")) | st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=12))
def test_numbers_go_there_and_back_and_so_does_the_codec(rows: list[tuple[float | None, float | None]]) -> None:
    frame = pl.DataFrame(
        {"a": [a for a, _ in rows], "b": [b for _, b in rows]}, schema={"a": pl.Float64, "b": pl.Float64}
    )
    truth = np.array([[math.nan if cell is None else cell for cell in row] for row in rows])
    spread = [np.nanmax(column) - np.nanmin(column) if np.isfinite(column).any() else 0 for column in truth.T]
    if min(spread) < 1e-3:
        return
    codec = Regression("sizes", columns=("a", "b")).refitted(frame).codec
    stored = NumberCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert stored == codec
    field = stored.encode(frame)
    field.check("sizes")
    held = ~np.isnan(truth)
    assert field.held().tolist() == held.tolist()
    assert field.present.tolist() == held.any(1).tolist()
    assert bool(field.values.isfinite().all())
    back = stored.decoded(field.values).numpy()
    np.testing.assert_allclose(back[held], truth[held], rtol=1e-5, atol=1e-5 * max(spread))
    for column in range(2):
        values = field.values[:, column][torch.from_numpy(held[:, column])].double()
        assert float(values.mean()) == pytest.approx(0, abs=1e-4)
        assert float(values.std(correction=0)) == pytest.approx(1, abs=1e-3)


def test_fitting_looks_at_its_own_rows_only() -> None:
    codec = Regression("y").refitted(pl.DataFrame({"y": [0.0, 2.0]})).codec
    assert codec.encode(pl.DataFrame({"y": [5.0, None]})).values.tolist() == [[4.0], [0.0]]
    assert codec.encode(pl.DataFrame({"y": pl.Series([], dtype=pl.Float64)})).values.shape == (0, 1)


@pytest.mark.parametrize(
    "values",
    [["1", " 2.5 ", "?", "", "NA", None, "-"], [1.0, 2.5, float("nan"), None, None, None, None]],
    ids=["words", "numbers"],
)
def test_numbers_may_be_written_as_words_and_missing_ones_are_missing(values: list[Any]) -> None:
    field = NumberCodec("y", ("y",)).encode(pl.DataFrame({"y": values}))
    assert field.values.flatten().tolist() == [1.0, 2.5, 0, 0, 0, 0, 0]
    assert field.present.tolist() == [True, True, False, False, False, False, False]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Float32, pl.Decimal(10, 2), pl.Boolean])
def test_every_type_of_number_will_do(dtype: Any) -> None:
    frame = pl.DataFrame({"y": pl.Series([1, 0, 1]).cast(dtype)})
    assert NumberCodec("y", ("y",)).encode(frame).values.flatten().tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pl.Series(["1", "tall", "2", "short"]), "should hold numbers, but 2 cells hold words such as 'tall'"),
        (
            pl.Series(["1", "2"], dtype=pl.Categorical).append(pl.Series(["x"], dtype=pl.Categorical)),
            "one cell holds 'x'",
        ),
        (pl.Series([1.0, math.inf, -math.inf]), "2 of its cells are infinite"),
        (pl.Series(["1", "inf"]), "1 of its cells"),
        (pl.Series([3.0, 3.0, None]), "is 3 in all 2 training rows that have it"),
        (pl.Series([1e9, 1e9]), "nothing to predict"),
        (pl.Series([None, float("nan")]), "holds no number in the training rows"),
        (pl.Series([None, None]), "holds no number"),
        (pl.Series([[1.0], [2.0]]), "its cells are List"),
    ],
)
def test_what_is_no_number_is_refused_with_its_column(values: pl.Series, message: str) -> None:
    with pytest.raises(DataError, match=f"task 'size': column 'y'.*{message}"):
        Regression("size", columns=["y"]).refitted(pl.DataFrame({"y": values}))


def test_tiny_units_are_no_constant() -> None:
    codec = Regression("charge").refitted(pl.DataFrame({"charge": [1.6e-19, 3.2e-19]})).codec
    assert codec.encode(pl.DataFrame({"charge": [1.6e-19, 3.2e-19]})).values.flatten().tolist() == pytest.approx(
        [-1, 1]
    )


def test_predictions_come_in_the_targets_units() -> None:
    one = Regression("age").refitted(pl.DataFrame({"age": [20.0, 40.0]}))
    assert one.decode(torch.tensor([[0.0], [2.0]]))["age"].tolist() == [30.0, 50.0]
    two = Regression("size", columns=("a", "b")).refitted(pl.DataFrame({"a": [0, 2], "b": [5, 15]}))
    assert {name: column.tolist() for name, column in two.decode(torch.ones(1, 2)).items()} == {
        "size_a": [2.0],
        "size_b": [15.0],
    }


def test_columns_are_checked_at_the_door() -> None:
    for columns in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match="columns must be names"):
            Regression("y", columns=columns)
    with pytest.raises(ConfigError, match="unknown metric of task 'y' 'rsme'; did you mean 'rmse'"):
        Regression("y", metric="rsme")
