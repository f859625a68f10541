"""Kinds are found with a reason, can be said otherwise, and a column that is nearly numbers is not guessed at."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.dates import as_dates, date_form
from cotrain.data.infer import described, infer

RANDOM = np.random.default_rng(0)
ROWS = 200


def kind(values: object, name: str = "x") -> str:
    return infer(pl.DataFrame({name: values}))[name].kind


@pytest.mark.parametrize(
    ("expected", "name", "values"),
    [
        ("number", "x", RANDOM.normal(size=ROWS)),
        ("number", "x", RANDOM.integers(0, 50, ROWS)),
        ("number", "delay", RANDOM.integers(-2, 5, ROWS)),
        ("category", "x", RANDOM.integers(0, 4, ROWS)),
        ("category", "x", RANDOM.integers(0, 4, ROWS).astype(float)),
        ("category", "ind_code", RANDOM.integers(0, 50, ROWS)),
        ("category", "placeID", RANDOM.integers(0, 50, ROWS)),
        ("category", "x", [["a", "b", "c"][place % 3] for place in range(ROWS)]),
        ("binary", "x", RANDOM.integers(0, 2, ROWS)),
        ("binary", "x", [place % 2 == 0 for place in range(ROWS)]),
        ("binary", "x", [None if place % 2 else "seen" for place in range(ROWS)]),
        ("constant", "x", [7] * ROWS),
        ("constant", "x", [None] * ROWS),
        ("identifier", "id", RANDOM.permutation(10 * ROWS)[:ROWS]),
        ("identifier", "x", list(range(ROWS))),
        ("identifier", "(index)", RANDOM.permutation(ROWS)),
        ("identifier", "x", [f"user-{place}" for place in range(ROWS)]),
        ("text", "x", [f"the {place} th review of a drug that did not help" for place in range(ROWS)]),
        ("date", "x", [date(2020, 1, 1 + place % 28) for place in range(ROWS)]),
        ("date", "x", [f"2020-01-{1 + place % 28:02d}" for place in range(ROWS)]),
        ("other", "x", [[1, 2]] * ROWS),
        ("category", "zip", ["01067", "80331", "10115", "1234x"] * (ROWS // 4)),
    ],
)
def test_the_kind_of_a_column_is_found(expected: str, name: str, values: object) -> None:
    assert kind(values, name) == expected


def test_a_few_words_in_a_column_of_numbers_are_a_mistake_and_not_a_category() -> None:
    words = [str(place) for place in range(50)]
    words[17] = "abc"
    frame = pl.DataFrame({"a": words, "b": words, "c": ["x", "y"] * 25})
    with pytest.raises(DataError) as caught:
        infer(frame)
    assert "column 'a', row 18" in str(caught.value)
    assert "column 'b', row 18" in str(caught.value)
    assert infer(frame, {"a": "category", "b": "category"})["a"].why == "said in data.kinds"


def test_what_is_said_is_checked() -> None:
    frame = pl.DataFrame({"age": ["a", "b"], "when": ["03/04/2020", "31/12/2020"]})
    with pytest.raises(ConfigError, match="did you mean 'age'"):
        infer(frame, {"aeg": "number"})
    with pytest.raises(ConfigError, match="did you mean 'number'"):
        infer(frame, {"age": "numbr"})
    with pytest.raises(DataError, match="row 1: a number is expected, got 'a'"):
        infer(frame, {"age": "number"})
    with pytest.raises(DataError, match="no known way"):
        infer(frame, {"age": "date"})
    assert infer(frame, {"when": "date(%d/%m/%Y)"})["when"].form == "%d/%m/%Y"


def test_each_line_of_the_description_has_a_reason() -> None:
    lines = described(list(infer(pl.DataFrame({"x": [1.5, 2.5, None], "long name": ["a", "b", "a"]})).values()))
    assert lines == [
        "x          binary      two different values; 1 missing",
        "long name  binary      two different values",
    ]


@pytest.mark.parametrize(
    ("words", "form"),
    [
        (["2020-01-31", "2021-12-01"], "%Y-%m-%d"),
        (["2020-01-31 10:30:00", "2021-12-01 00:00:00"], "%Y-%m-%d %H:%M:%S"),
        (["2020-01-31T10:30:00Z"], "%Y-%m-%dT%H:%M:%SZ"),
        (["31.01.2020", "1.2.2021"], "%d.%m.%Y"),
        (["31/01/2020", "1/2/2021"], "%d/%m/%Y"),
        (["1/31/2020", "1/2/2021"], "%m/%d/%Y"),
        (["1/2/2011", "1/3/2011", "2/1/2011"], "%m/%d/%Y"),
        (["1/2/2011", "2/2/2011", "1/3/2011"], "%d/%m/%Y"),
        (["20200131", "20211201"], "%Y%m%d"),
        (["31-Jan-2020", "01-Feb-2021"], "%d-%b-%Y"),
        (["31/01/94", "1/2/05"], "%d/%m/%y"),
        (["1/31/94 10:30", "1/2/05 11:45"], "%m/%d/%y %H:%M"),
        (["31.01.94", "1.2.05"], "%d.%m.%y"),
        (["31-01-94", "01-02-05"], "%d-%m-%y"),
        (["31-Jan-94", "01-Feb-05"], "%d-%b-%y"),
        (["94-01-31", "05-02-01"], "%y-%m-%d"),
        (["0894-01-31", "1305-02-01"], "%Y-%m-%d"),
        (["February 22, 1994", "March 1, 2005"], "%B %d, %Y"),
        (["22 February 1994", "01 March 2005"], "%d %B %Y"),
        (["02/22/1994 03:23 PM", "3/1/2005 12:05 AM"], "%m/%d/%Y %I:%M %p"),
        (["2024-01-05 03:10:22 PM", "2024-02-05 11:10:22 AM"], "%Y-%m-%d %I:%M:%S %p"),
        (["Rom", "Oslo"], None),
        (["123456", "234567"], None),
        (["2020-01-31", "2020-02-31"], None),
        ([None], None),
    ],
)
def test_the_way_dates_are_written_is_found(words: list[str | None], form: str | None) -> None:
    assert date_form(pl.Series("when", words, dtype=pl.String))[0] == form


def test_a_year_of_two_digits_is_of_our_time_and_none_of_the_first_century() -> None:
    words = pl.Series("when", ["31/12/69", "01/01/70", "22/02/94", "18/04/05"])
    assert as_dates(words, None).dt.year().to_list() == [2069, 1970, 1994, 2005]
    with pytest.raises(DataError, match="row 1: a date written %d/%m/%Y is expected, got '31/12/69'"):
        as_dates(words, "%d/%m/%Y")


def test_a_cell_that_is_no_date_is_named() -> None:
    with pytest.raises(DataError, match="column 'when', row 2: a date written %Y-%m-%d is expected, got 'soon'"):
        as_dates(pl.Series("when", ["2020-01-01", "soon"]), "%Y-%m-%d")
