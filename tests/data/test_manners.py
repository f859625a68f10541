"""How numbers are written is found out once, said, kept with the encoders, and used for every row that comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.errors import DataError
from cotrain.data.encode import TableEncoder
from cotrain.data.manners import MANNERS, as_told, found_manner, manners, numbered
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import prepare
from cotrain.data.read import read_given, read_table
from cotrain.data.settings import DataSettings, SplitSettings

Toys = Callable[..., dict[str, Any]]
SIGNS = ("$", "€", "EUR", "CHF", "%", "")


def spelled(number: float, style: str, sign: str, *, ahead: bool, brackets: bool) -> str:
    """A number as a person would write it."""
    body = f"{abs(number):,.2f}"
    if style == "comma":
        body = body.replace(",", " ").replace(".", ",").replace(" ", ".")
    elif style == "plain":
        body = body.replace(",", "")
    body = f"{sign} {body}".strip() if ahead else f"{body} {sign}".strip()
    if number >= 0:
        return body
    return f"({body})" if brackets else f"-{body}"


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.integers(-(10**9), 10**9).map(lambda cents: cents / 100), min_size=1, max_size=8),
    st.sampled_from(MANNERS),
    st.sampled_from(SIGNS),
    st.booleans(),
    st.booleans(),
)
def test_numbers_written_in_any_manner_are_read_back(
    numbers: list[float], style: str, sign: str, ahead: bool, brackets: bool
) -> None:
    numbers = [*numbers, 1234.5]
    words = pl.Series(
        "x", [spelled(one, style, sign, ahead=ahead, brackets=brackets and sign != "") for one in numbers]
    )
    read, manner, note = found_manner(words, None, False)
    assert read is not None
    assert manner == f"{style} {sign}".strip()
    assert read.to_list() == numbers
    assert (note is None) == (manner == "plain")
    assert as_told(words, manner).to_list() == numbers  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cells", "numbers", "manner"),
    [
        (["$1,234.50", "$2"], [1234.5, 2.0], "thousands $"),
        (["€ 12", "€ 7.5"], [12.0, 7.5], "plain €"),
        (["1.234,50 EUR", None, "2,00 EUR"], [1234.5, None, 2.0], "comma EUR"),
        (["12 %", "3.5%"], [12.0, 3.5], "plain %"),
        (["(1,200)", "3,400", "7"], [-1200, 3400, 7], "thousands ()"),
        (["CHF 1'234'567.50", "CHF -3.00"], [1234567.5, -3.0], "plain CHF"),
        (["1 234 567,50 €", "-3,10 €"], [1234567.5, -3.1], "comma €"),
        (["US$ 1,000", "(US$ 5)"], [1000, -5], "thousands US$"),
    ],
)
def test_money_shares_and_brackets_are_numbers(cells: list[str | None], numbers: list[Any], manner: str) -> None:
    read, found, note = found_manner(pl.Series("x", cells), None, False)
    assert read is not None
    assert read.to_list() == numbers
    assert found == manner
    assert note is not None
    assert "column 'x' is written like" in note


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["1.234 €", "7 €"], True),
        (["€1.234", None, "€987.654"], True),
        (["1.234 €", "7.5 €"], False),
        (["0.125 €", "1.250 €"], False),
        (["1.234.567 €", "1.000 €"], False),
        (["1.234 %", "2.345 %"], False),
        (["1.234", "2.345"], False),
    ],
)
def test_money_that_can_mean_two_numbers_is_said_with_the_way_out(cells: list[str | None], said: bool) -> None:
    column = pl.Series("pay", cells)
    read, _, note = found_manner(column, None, False)
    assert (note is not None and "can mean two numbers" in note and 'decimal: ","' in note) is said
    if said:
        assert read is not None
        assert read[0] == pytest.approx(1.234)
        for decimal, first in ((",", 1234), (".", 1.234)):
            again, _, other = found_manner(column, decimal, False)  # type: ignore[arg-type]
            assert again is not None
            assert again[0] == pytest.approx(first)
            assert "two numbers" not in str(other)


@pytest.mark.parametrize(
    "cells",
    [["$5", "7"], ["$5", "€7"], ["5 %", "$5"], ["$5", "five $"], ["(030)", "12"], ["(1)", "(2)"], ["$", "$5"], ["$5 $", "$5 $"], ["EUR", "EUR"], ["10-20 %", "5 %"]],
)  # fmt: skip
def test_a_column_that_is_not_written_in_one_way_stays_words(cells: list[str]) -> None:
    assert found_manner(pl.Series("x", cells), None, False) == (None, None, None)


def test_a_later_cell_may_leave_its_sign_out_but_not_change_its_point() -> None:
    assert as_told(pl.Series(["1.234,5", "7 EUR"]), "comma EUR").to_list() == [1234.5, 7.0]  # type: ignore[union-attr]
    assert as_told(pl.Series(["1234.5"]), "comma") is None
    assert as_told(pl.Series(["1,5"]), "thousands") is None
    assert as_told(pl.Series(["1234.5", "1,234"]), "thousands").to_list() == [1234.5, 1234.0]  # type: ignore[union-attr]


def test_a_sample_decides_for_every_piece() -> None:
    found, notes = manners(pl.DataFrame({"x": ["$1,000", "$2"], "y": ["a", "b"], "z": [1, 2]}), None, False)
    assert found == {"x": "thousands $"}
    assert len(notes) == 1
    assert numbered(pl.DataFrame({"x": ["$3,000"], "z": [1]}), found)["x"].to_list() == [3000]


def german(folder: Path) -> Path:
    path = folder / "german.csv"
    lines = [f"{place}.234,5;{place % 3};{place},25 €" for place in range(1, 41)]
    path.write_text("\n".join(["pay;kind;price", *lines]), encoding="utf-8")
    return path


def test_new_rows_are_read_as_the_table_was(tmp_path: Path, toys: Toys) -> None:
    table = read_table(german(tmp_path))
    assert table.manners == {"pay": "comma", "kind": "plain", "price": "comma €"}
    ready = prepare(table, Preparation(targets=toys("price"), settings=DataSettings(kinds={"kind": "category"})))
    encoder = TableEncoder.from_json(json.loads(json.dumps(ready.encoder.to_json())))
    assert encoder == ready.encoder
    (tmp_path / "new.csv").write_text("pay;kind\n1.234;1\n", encoding="utf-8")
    new = read_table(tmp_path / "new.csv", known=dict(encoder.manners))
    assert new.frame["pay"].to_list() == [1234]
    assert read_table(tmp_path / "new.csv").frame["pay"].to_list() == [1.234]
    as_number = encoder.encode(pl.DataFrame({"pay": [1234.0], "kind": [1]}))[0]
    for frame in (new.frame, pl.DataFrame({"pay": ["1.234"], "kind": ["1"]})):
        assert encoder.encode(frame)[0]["numbers"].values.tolist() == as_number["numbers"].values.tolist()


def test_a_new_file_written_otherwise_is_read_anew_and_that_is_said(tmp_path: Path) -> None:
    known = read_table(german(tmp_path)).manners
    table = read_table({"pay": ["1234.5", "7"], "kind": ["1", "2"]}, known=known)
    assert table.frame["pay"].to_list() == [1234.5, 7.0]
    assert table.notes == ["column 'pay' is not written as in training (1.234,5), and was read as 1234.5"]


def test_a_cell_that_fits_no_manner_is_named(tmp_path: Path, toys: Toys) -> None:
    ready = prepare(read_table(german(tmp_path)), Preparation(targets=toys("price")))
    with pytest.raises(DataError, match=r"column 'pay', row 2: a number is expected, got 'x'"):
        ready.encoder.encode(pl.DataFrame({"pay": ["1.234", "x"], "kind": [1, 2]}))


def test_files_of_other_splits_are_read_as_the_training_file(tmp_path: Path, toys: Toys) -> None:
    (tmp_path / "test.csv").write_text("pay;kind;price\n1.234;1;2 €\n2.234;1;3 €\n", encoding="utf-8")
    table = read_given({"train": german(tmp_path), "test": tmp_path / "test.csv"})
    assert table.frame["pay"].to_list()[-2:] == [1234.0, 2234.0]
    split = SplitSettings("files", test=str(tmp_path / "test.csv"))
    ready = prepare(
        read_table(german(tmp_path)), Preparation(targets=toys("price"), settings=DataSettings(split=split))
    )
    assert len(ready.data.rows("test")) == 2
    assert dict(ready.encoder.manners)["pay"] == "comma"
