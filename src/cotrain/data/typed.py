"""Words that are numbers become numbers; any cell as one canonical word.

A column of words is taken for numbers only if every cell reads as one. Leading zeros (postcodes) stay words.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

_COMMA = r"^[+-]?\d+(,\d+)?$|^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$|^[+-]?\d{1,3}(\.\d+)?$"
_PADDED = r"^[+-]?0\d+$"
_WHOLE = 2.0**53


def typed(
    frame: pl.DataFrame, decimal: Literal[".", ","] | None = None, comma_free: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """(frame, notes): columns of words in which every cell reads as a number, as Int64 or Float64.

    decimal: "," reads 1.234,5 and "." reads 1,234.5; None finds out and says so. comma_free: the file's separator is no comma,
    so that 1,234 is more likely a decimal comma than thousands.

    >>> frame, notes = typed(pl.DataFrame({"x": ["1,5", "2,25"], "zip": ["01", "02"]}))
    >>> frame["x"].to_list(), frame["zip"].to_list(), notes
    ([1.5, 2.25], ['01', '02'], ["column 'x' has decimal commas"])
    """
    notes: list[str] = []
    changed: list[pl.Series] = []
    for name, dtype in frame.schema.items():
        if dtype == pl.String:
            series, note = typed_column(frame[name], decimal, comma_free)
            if series is not None:
                changed.append(series)
            if note:
                notes.append(note)
    return (frame.with_columns(changed) if changed else frame), notes


def typed_column(
    words: pl.Series, decimal: Literal[".", ","] | None, comma_free: bool
) -> tuple[pl.Series | None, str | None]:
    """(the column as numbers or None, a note or None)."""
    sample = words.drop_nulls().head(1000)
    if not len(sample):
        return None, None
    if decimal != "," and not sample.cast(pl.Float64, strict=False).has_nulls():
        numbers = as_numbers(words)
        if numbers is not None:
            return numbers, None
    if decimal != "." and sample.str.contains(_COMMA).all():
        clear = sample.str.contains(r",(\d{1,2}|\d{4,})$").any() or comma_free or decimal == ","
        if clear and words.drop_nulls().str.contains(_COMMA).all():
            plain = words.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
            numbers = as_numbers(plain)
            if numbers is not None:
                note = f"column '{words.name}' has decimal commas"
                return numbers, note if sample.str.contains(",", literal=True).any() else None
    if decimal != "," and sample.str.contains(_THOUSANDS).all() and words.drop_nulls().str.contains(_THOUSANDS).all():
        numbers = as_numbers(words.str.replace_all(",", "", literal=True))
        if numbers is not None:
            return numbers, f"column '{words.name}' has commas between thousands"
    return None, None


def as_numbers(words: pl.Series) -> pl.Series | None:
    """The column as Int64, else Float64, if every cell that is there reads as one; None otherwise or with leading zeros."""
    if words.str.contains(_PADDED).any():
        return None
    missing = words.null_count()
    whole = words.cast(pl.Int64, strict=False)
    if whole.null_count() == missing:
        return whole
    numbers = words.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == missing else None


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
