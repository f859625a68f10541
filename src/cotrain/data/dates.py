"""Dates: reading them from words, and encoding them as year and cycles (month, weekday, hour) that vary in training.

A cycle of length n at place p is (sin 2 pi p / n, cos 2 pi p / n), so that December lies beside January. A missing date has the
year of the training mean and 0 in every cycle (the circle's centre), with an indicator where training rows had missing ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.core.state import plain
from cotrain.data.columns import Part, rising

_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%m/%d/%y", "%d.%m.%y")  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M:%SZ", " %H:%M:%S%.f", "T%H:%M:%S%.f", "T%H:%M:%S%.fZ")
_CYCLES = {"month": 12, "weekday": 7, "hour": 24}


def as_dates(series: pl.Series, form: str | None) -> pl.Series:
    """The column as Datetime. Raises DataError naming the first row and cell that is no date in the form."""
    if series.dtype in (pl.Datetime, pl.Date):
        return _plain(series)
    if series.dtype != pl.String:
        if series.null_count() == len(series):
            return series.cast(pl.Datetime("us"))
        series = series.cast(pl.String)
    if form is None:
        form, _ = date_form(series)
    dates = _parsed(series, form) if form else None
    wrong = (dates.is_null() if dates is not None else series.is_not_null()) & series.is_not_null()
    if dates is None or wrong.any():
        row = wrong.arg_max() or 0
        raise DataError(
            f"column '{series.name}', row {row + 1}: a date {f'written {form} ' if form else ''}is expected, "
            f"got '{series[row]}'. Correct the cell, or say how dates are written, for example kinds: "
            f"{{{series.name}: date(%d/%m/%Y)}}"
        )
    return dates


def _plain(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.cast(pl.Datetime("us"))


def _parsed(series: pl.Series, form: str) -> pl.Series:
    clock = "%H" in form
    dates = series.str.strptime(pl.Datetime("us") if clock else pl.Date, form, strict=False)
    return dates.cast(pl.Datetime("us"))


def date_form(words: pl.Series) -> tuple[str | None, str]:
    """(how the dates in a column of words are written, what to say), or (None, "") if it holds no dates.

    Where day and month could be either, the reading in which the rows rise is taken, else the month-first one.

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


@dataclass(frozen=True)
class DateEncoder:
    """One date column as numbers: `parts` that vary in training, the year standardised, an indicator for missing."""

    kind: ClassVar[str] = "date"
    field: ClassVar[str] = "numbers"

    name: str
    form: str | None
    parts: tuple[str, ...]
    year: float
    spread: float
    indicator: bool
    quantiles: tuple[tuple[float, ...], ...] = ()

    @staticmethod
    def fit(series: pl.Series, form: str | None) -> DateEncoder:
        """Fitted on the training rows of a column (words or dates)."""
        dates = as_dates(series, form).drop_nulls()
        years = np.sort(dates.dt.year().to_numpy().astype(np.float64))
        parts = [part for part in ("year", *_CYCLES) if len(dates) and _part(dates, part).n_unique() > 1]
        if not parts:
            parts = ["year"]
        spread = float(years.std()) if len(years) else 0.0
        made = DateEncoder(
            series.name,
            form,
            tuple(parts),
            float(years.mean()) if len(years) else 0.0,
            spread or 1.0,
            bool(series.has_nulls()),
        )
        found = [rising(values) for values in made._waves(dates)]
        return replace(made, quantiles=(*found, (0.0, 1.0)) if made.indicator else tuple(found))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are numbers."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        return "as " + ", ".join(self.parts) + (", missing cells marked" if self.indicator else "")

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers this column becomes."""
        names: list[str] = []
        for part in self.parts:
            names += (
                [f"{self.name} year"] if part == "year" else [f"{self.name} {part} {wave}" for wave in ("sin", "cos")]
            )
        return (*names, f"{self.name} is missing") if self.indicator else tuple(names)

    def encode(self, series: pl.Series) -> list[NDArray[np.float32]]:
        """One [B] float32 column for every feature."""
        dates = as_dates(series.alias(self.name), self.form)
        out = self._waves(dates)
        return [*out, dates.is_null().to_numpy().astype(np.float32)] if self.indicator else out

    def part(self, frame: pl.DataFrame) -> Part:
        """The features of any rows; those of a missing date are marked as filler."""
        values = self.encode(frame[self.name])
        series = frame[self.name]
        if not series.has_nulls():
            return Part(values)
        held = series.is_not_null().to_numpy()
        whole = len(values) - self.indicator
        return Part(values, [held] * whole + [None] * self.indicator)

    def _waves(self, dates: pl.Series) -> list[NDArray[np.float32]]:
        out: list[NDArray[np.float32]] = []
        for part in self.parts:
            place = _part(dates, part).cast(pl.Float64).to_numpy()
            if part == "year":
                out.append(np.nan_to_num((place - self.year) / self.spread).astype(np.float32))
            else:
                turn = place * (2 * np.pi / _CYCLES[part])
                out += [np.nan_to_num(np.sin(turn)).astype(np.float32), np.nan_to_num(np.cos(turn)).astype(np.float32)]
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder."""
        return {"kind": self.kind, **plain(asdict(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> DateEncoder:
        """The encoder `to_json` wrote."""
        known = {key: one for key, one in value.items() if key != "kind"}
        quantiles = tuple(tuple(one) for one in value["quantiles"])
        return DateEncoder(**(known | {"parts": tuple(value["parts"]), "quantiles": quantiles}))


def _part(dates: pl.Series, part: str) -> pl.Series:
    if part == "year":
        return dates.dt.year()
    if part == "month":
        return dates.dt.month() - 1
    if part == "weekday":
        return dates.dt.weekday() - 1
    return dates.dt.hour()
