"""How the numbers in columns of words are written, decided once from a sample, so that every piece of a table is read alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

from cotrain.data.typed import as_numbers, typed

Manner = Literal["plain", "comma", "thousands"]
"""plain: 1234.5. comma: 1.234,5. thousands: 1,234.5."""

MANNERS: tuple[Manner, ...] = ("plain", "comma", "thousands")


def manners(
    frame: pl.DataFrame, decimal: Literal[".", ","] | None, comma_free: bool
) -> tuple[dict[str, Manner], list[str]]:
    """({column of words that are numbers: how they are written}, notes), as `typed` reads them.

    >>> manners(pl.DataFrame({"x": ["1,5", "2,25"], "y": ["a", "1"]}), None, False)[0]
    {'x': 'comma'}
    """
    numbers, notes = typed(frame, decimal, comma_free)
    found: dict[str, Manner] = {}
    for name, dtype in numbers.schema.items():
        if frame.schema[name] == pl.String and dtype != pl.String:
            sample = frame[name].drop_nulls().head(1000)
            fits = [one for one in MANNERS if not plainly(sample, one).cast(pl.Float64, strict=False).has_nulls()]
            found[name] = next(
                (one for one in fits if plainly(frame[name], one).cast(pl.Float64, strict=False).equals(numbers[name].cast(pl.Float64))),
                "plain",
            )  # fmt: skip
    return found, notes


def plainly(words: pl.Series, manner: Manner) -> pl.Series:
    """The words with a decimal point and nothing between thousands."""
    if manner == "comma":
        return words.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return words.str.replace_all(",", "", literal=True) if manner == "thousands" else words


def numbered(frame: pl.DataFrame, found: Mapping[str, Manner]) -> pl.DataFrame:
    """The frame with those columns as numbers; one that holds a cell of another kind here stays words, and is complained of where it is used.

    >>> numbered(pl.DataFrame({"x": ["1,5", "2"]}), {"x": "comma"})["x"].to_list()
    [1.5, 2.0]
    """
    changed = []
    for name, manner in found.items():
        if frame.schema[name] != pl.String:
            continue
        words = plainly(frame[name], manner)
        numbers = as_numbers(words)
        if numbers is None:  # leading zeros, or a cell that is no number
            numbers = words.cast(pl.Float64, strict=False)
            if numbers.null_count() > words.null_count():
                continue
        changed.append(numbers.alias(name))
    return frame.with_columns(changed) if changed else frame
