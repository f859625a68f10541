"""Words that are numbers become numbers; any cell as one canonical word.

A column of words is taken for numbers only if every cell reads as one. Leading zeros (postcodes) stay words.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from cotrain.data.manners import Decimal, Manner, read_words

_WHOLE = 2.0**53


def typed(
    frame: pl.DataFrame,
    decimal: Decimal | None = None,
    comma_free: bool = False,
    known: Mapping[str, Manner] | None = None,
) -> tuple[pl.DataFrame, list[str], dict[str, Manner]]:
    """(frame, notes, {column: manner}): columns of words in which every cell reads as a number, as Int64 or Float64.

    decimal: "," reads 1.234,5 and "." reads 1,234.5; None finds out and says so. comma_free: the file's separator is no comma,
    so that 1,234 is more likely a decimal comma than thousands. known: how columns were written in training; one in which every cell
    can be read so is read so, another is found out anew, and that is said.

    >>> frame, notes, _ = typed(pl.DataFrame({"x": ["1,5", "2,25"], "zip": ["01", "02"]}))
    >>> frame["x"].to_list(), frame["zip"].to_list(), notes
    ([1.5, 2.25], ['01', '02'], ["column 'x' has decimal commas"])
    >>> typed(pl.DataFrame({"x": ["1.234"]}), known={"x": "comma"})[0]["x"].to_list()
    [1234]
    """
    notes: list[str] = []
    changed: list[pl.Series] = []
    manners: dict[str, Manner] = {}
    for name, dtype in frame.schema.items():
        if dtype != pl.String:
            continue
        numbers, manner, said = read_words(frame[name], decimal, comma_free, (known or {}).get(name))
        manners |= {} if manner is None else {name: manner}
        notes += said
        if numbers is not None:
            changed.append(numbers.alias(name))
    return (frame.with_columns(changed) if changed else frame), notes, manners


def as_words(series: pl.Series) -> pl.Series:
    """Any column as words, equal cells as equal words whatever the column's type: 1, 1.0 and "1" are all `1`.

    >>> as_words(pl.Series([1.0, 2.5, None])).to_list(), as_words(pl.Series([True])).to_list()
    (['1', '2.5', None], ['true'])
    """
    if series.dtype == pl.String:
        return series
    if series.dtype.is_float():
        cell = pl.col("cell")
        whole = (cell == cell.round(0)) & (cell.abs() < _WHOLE)
        return (
            series.alias("cell")
            .to_frame()
            .select(
                pl.when(whole)
                .then(pl.when(whole).then(cell).otherwise(None).cast(pl.Int64).cast(pl.String))
                .otherwise(cell.cast(pl.String))
            )
            .to_series()
            .alias(series.name)
        )
    return series.cast(pl.String)


def looks_numeric(words: pl.Series) -> tuple[float, int]:
    """(share of the cells that read as numbers, how many different numbers) of a column of words."""
    held = words.drop_nulls()
    if not len(held):
        return 0.0, 0
    numbers = held.cast(pl.Float64, strict=False)
    return 1 - numbers.null_count() / len(held), numbers.drop_nulls().n_unique()
