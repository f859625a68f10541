"""Cleaning is counted, changes nothing twice, and loses no row."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import DataError
from cotrain.data.clean import Step, finite, marks, repeated, tidy
from cotrain.data.numbers import as_floats
from cotrain.data.settings import MISSING
from cotrain.data.typed import as_words, typed

CELL = st.one_of(st.none(), st.sampled_from([" a", "a", "?", "", "NaN", "none", " b ", "None"]), st.text(max_size=4))


@settings(deadline=None, max_examples=100)
@given(st.lists(CELL, max_size=8))
def test_tidying_twice_is_tidying_once(cells: list[str | None]) -> None:
    frame = pl.DataFrame({"x": pl.Series(cells, dtype=pl.String)})
    once, steps = tidy(frame, MISSING)
    twice, more = tidy(once, MISSING)
    assert twice.equals(once)
    assert more == []
    assert once.height == frame.height
    missing = sum(step.count for step in steps if step.step == "word for missing")
    assert once["x"].null_count() == frame["x"].null_count() + missing


def test_every_step_has_its_count() -> None:
    frame, steps = tidy(pl.DataFrame({"a": [" x", "?", "None", "y"], "b": [1.0, float("nan"), 2.0, None]}), MISSING)
    assert steps == [
        Step("whitespace stripped", "a", 1),
        Step("word for missing", "a", 2, "'?', 'None'"),
        Step("not a number", "b", 1, "made missing"),
    ]
    assert frame.to_dict(as_series=False) == {"a": ["x", None, None, "y"], "b": [1.0, None, 2.0, None]}


def test_infinite_cells_become_missing_in_the_columns_asked_for_only() -> None:
    frame = pl.DataFrame({"a": [1.0, float("-inf"), float("inf")], "b": [float("inf"), 0.0, 0.0]})
    clean, steps = finite(frame, ["a"])
    assert clean["a"].to_list() == [1.0, None, None]
    assert clean["b"].to_list() == frame["b"].to_list()
    assert steps == [Step("infinite cell", "a", 2, "first in row 2; made missing")]


def test_rows_repeat_only_if_every_cell_does_missing_ones_included() -> None:
    frame = pl.DataFrame({"x": [1, 1, None, None, 1], "y": ["a", "b", None, None, "a"], "z": [[1], [2], [3], [4], [5]]})
    assert repeated(marks(frame, ["x", "y", "z"])).tolist() == [False, False, False, True, True]
    assert not repeated(marks(frame, ["z"])).any()


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**52), 2**52)), max_size=8))
def test_equal_cells_are_equal_words_whatever_their_type(cells: list[int | None]) -> None:
    words = [None if cell is None else str(cell) for cell in cells]
    for dtype in (pl.Int64, pl.Float64):
        assert as_words(pl.Series("x", cells, dtype=dtype)).to_list() == words
    assert as_words(pl.Series("x", words, dtype=pl.String)).to_list() == words


@settings(deadline=None, max_examples=100)
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=8))
def test_numbers_written_out_are_typed_back_to_the_last_bit(cells: list[float | None]) -> None:
    words = pl.Series("x", [None if cell is None else repr(cell) for cell in cells], dtype=pl.String)
    frame, _, _ = typed(pl.DataFrame({"x": words}))
    assert np.array_equal(
        as_floats(frame["x"]), np.array([np.nan if cell is None else cell for cell in cells]), equal_nan=True
    )


def test_a_word_among_numbers_is_named_with_row_and_cell() -> None:
    with pytest.raises(
        DataError, match=r"column 'age', row 3: a number is expected, got 'abc' \(1 such cells\).*data\.missing"
    ):
        as_floats(pl.Series("age", ["1", "2", "abc"]))
    with pytest.raises(DataError, match="holds List"):
        as_floats(pl.Series("age", [[1]]))
