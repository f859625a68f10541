"""Dates: reading them from words, from numbers since 1970, and with or without a time zone."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

from cotrain.core.errors import DataError

_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d %b %y", "%y-%m-%d", "%y/%m/%d")  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M:%SZ", " %H:%M:%S%.f", "T%H:%M:%S%.f", "T%H:%M:%S%.fZ", "T%H:%M:%S%z", " %H:%M:%S%z", " %H:%M:%S %z", "T%H:%M:%S%.f%z", " %H:%M:%S%.f%z", " %I:%M %p", " %I:%M:%S %p")  # fmt: skip


EPOCHS: dict[str, Literal["s", "ms", "us", "ns"]] = {
    "epoch_s": "s",
    "epoch_ms": "ms",
    "epoch_us": "us",
    "epoch_ns": "ns",
}
"""Forms of dates written as a number since 1970: `date(epoch_s)` are seconds."""

_EARLIEST, _LATEST = 157_766_400.0, 4_102_444_800.0  # 1975 and 2100, in seconds
_EPOCH_NAME = re.compile(r"(^|[^a-z])(timestamps?|unix|epoch|posix|ts|utc)($|[^a-z])")


def as_dates(series: pl.Series, form: str | None, zone: str | None = None) -> pl.Series:
    """The column as Datetime, without a time zone. Raises DataError naming the first row and cell that is no date in the form.

    zone: dates that know their time zone, and numbers since 1970, are taken as the clocks there show them (None: in UTC); dates that
    know none are taken as they stand.
    """
    if series.dtype in (pl.Datetime, pl.Date):
        return _plain(series, zone)
    if form in EPOCHS:
        return _since_1970(series, form, zone)
    if series.dtype != pl.String:
        if series.null_count() == len(series):
            return series.cast(pl.Datetime("us"))
        series = series.cast(pl.String)
    if form is None:
        form, _ = date_form(series)
    dates = _parsed(series, form, zone) if form else None
    wrong = (dates.is_null() if dates is not None else series.is_not_null()) & series.is_not_null()
    if dates is None or wrong.any():
        row = wrong.arg_max() or 0
        raise DataError(
            f"column '{series.name}', row {row + 1}: a date {f'written {form} ' if form else ''}is expected, "
            f"got '{series[row]}'. Correct the cell, or say how dates are written, for example kinds: "
            f"{{{series.name}: date(%d/%m/%Y)}}"
        )
    return dates


def _plain(series: pl.Series, zone: str | None) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone(zone or "UTC").dt.replace_time_zone(None)
    return series.cast(pl.Datetime("us"))


def _parsed(series: pl.Series, form: str, zone: str | None = None) -> pl.Series:
    clock = "%H" in form or "%I" in form
    dates = series.str.strptime(pl.Datetime("us") if clock else pl.Date, form, strict=False)
    if "%Y" in form:  # which polars takes for years of two digits too: 94 would be a year of the first century
        dates = dates.to_frame("date").select(pl.when(pl.col("date").dt.year() >= 100).then("date")).to_series()
    if form.endswith("Z") and zone is not None:
        dates = dates.dt.replace_time_zone("UTC")
    return _plain(dates, zone)


def _since_1970(series: pl.Series, form: str, zone: str | None) -> pl.Series:
    numbers = series.cast(pl.Float64, strict=False)
    wrong = numbers.is_null() & series.is_not_null()
    if wrong.any():
        row = wrong.arg_max() or 0
        raise DataError(
            f"column '{series.name}', row {row + 1}: a number since 1970 ({form}) is expected, got '{series[row]}'; correct "
            f"the cell, or say how dates are written, for example kinds: {{{series.name}: date(%d/%m/%Y)}}"
        )
    dates = pl.from_epoch(numbers.cast(pl.Int64, strict=False), time_unit=EPOCHS[form])
    return _plain(dates.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), zone).alias(series.name)


def epoch_form(numbers: pl.Series, name: str | None = None) -> str | None:
    """The unit in which whole numbers count from 1970, if every one lies between 1975 and 2100 in it; None for any other number.

    name: looked at too where it is given: only a column named like a time stamp is one.

    >>> epoch_form(pl.Series([1_700_000_000])), epoch_form(pl.Series([1_700_000_000_000])), epoch_form(pl.Series([1_700_000_000]), "pay")
    ('epoch_s', 'epoch_ms', None)
    """
    held = numbers.drop_nulls()
    if name is not None and not _EPOCH_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower().replace("_", " ")):
        return None
    if not len(held) or not numbers.dtype.is_numeric():
        return None
    low, high = float(held.min()), float(held.max())  # type: ignore[arg-type]
    for form, size in zip(EPOCHS, (1.0, 1e3, 1e6, 1e9), strict=True):
        if _EARLIEST * size <= low and high < _LATEST * size:
            return form
    return None


def date_form(words: pl.Series) -> tuple[str | None, str]:
    """(how the dates in a column of words are written, what to say), or (None, "") if it holds no dates.

    Where day and month could be either, the reading in which the rows rise is taken, else the month-first one. Years of two digits are
    those from 1970 to 2069.

    >>> date_form(pl.Series(["31.12.2024", "01.02.2025"]))[0]
    '%d.%m.%Y'
    """
    held = words.drop_nulls()
    if not len(held):
        return None, ""
    sample = held.unique(maintain_order=True).head(200)
    if (
        not (sample.str.len_chars() >= 6).all()
        or not sample.str.contains(r"\d").all()
        or not sample.head(1).str.contains(r"^[\d\w]").all()
    ):
        return None, ""
    fits: list[str] = []
    for day in _DAYS:
        if not day.startswith("%Y") and fits and fits[0].startswith("%Y"):
            break
        for clock in _CLOCKS:
            form = day + clock
            if day == "%Y%m%d" and not sample.str.contains(r"^\d{8}").all():
                continue
            if not any(_parsed(part, form).has_nulls() for part in (sample.head(5), sample, held)):
                fits.append(form)
    fits = [form for form in fits if not ("%y" in form and any("%Y" in other for other in fits))]
    if not fits:
        return None, ""
    both = [form for form in fits if form.startswith(("%m", "%d"))]
    if len(both) > 1 and len({form[1] for form in both}) > 1:
        rising = [form for form in both if _parsed(held, form).is_sorted()]
        chosen = rising[0] if rising else both[0]
        why = "the rows rise so" if rising else "day and month could be either"
        return chosen, f"dates read as {chosen}: {why}"
    return fits[0], f"dates written {fits[0]}"
