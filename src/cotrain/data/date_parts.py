"""Dates as numbers: the year and the time since the first training day on a scale, what comes round again on a circle.

A part that comes round after n steps and stands at step p is (sin 2 pi p / n, cos 2 pi p / n), so that December lies beside January:
month (12), day of the month (31), weekday (7), hour (24), minute (60), day of the year (365.25). `weekend` is 1 on Saturday and
Sunday. `year` and `elapsed` (days since the earliest training date) are standardised by the training rows. A missing date has 0
everywhere, the mean and the circle's centre, with a mark where training rows had missing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.state import plain
from cotrain.data.columns import Part, rising
from cotrain.data.dates import as_dates

PARTS = ("year", "month", "day", "weekday", "hour", "minute", "dayofyear", "weekend", "elapsed")
CYCLES = {"month": 12.0, "day": 31.0, "weekday": 7.0, "hour": 24.0, "minute": 60.0, "dayofyear": 365.25}

USUAL = ("year", "month", "weekday", "hour")
FINER = ("day", "dayofyear", "minute")
ENOUGH = 1000
"""Unless a person chooses, the `USUAL` parts are taken where they vary in training, from so many training rows on the `FINER` too."""

Floats = NDArray[np.float64]
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class DateEncoder:
    """One date column as numbers. parts: of `PARTS`. scales: {part: (mean, spread)} of year and elapsed, as pairs in their order.

    form, zone: how dates are read (`as_dates`). start: the earliest training date, in days since 1970. indicator: training had
    missing dates.
    """

    kind: ClassVar[str] = "date"
    field: ClassVar[str] = "numbers"

    name: str
    form: str | None
    zone: str | None
    parts: tuple[str, ...]
    start: float
    scales: tuple[tuple[str, float, float], ...]
    indicator: bool
    quantiles: tuple[tuple[float, ...], ...] = ()

    @staticmethod
    def fit(
        series: pl.Series, form: str | None, *, parts: Sequence[str] | None = None, zone: str | None = None
    ) -> DateEncoder:
        """Fitted on the training rows of a column (words, dates, or seconds since 1970), in any order.

        parts: those wanted, or None for those that vary. zone: the time zone in which hours and days are meant.

        >>> encoder = DateEncoder.fit(pl.Series("t", ["2020-01-01", "2020-01-04"]), "%Y-%m-%d", parts=["weekend", "elapsed"])
        >>> [column.tolist() for column in encoder.encode(pl.Series(["2020-01-04", "2020-01-10"]))]   # a Saturday and a Friday
        [[1.0, 0.0], [1.0, 5.0]]
        """
        dates = as_dates(series, form, zone).drop_nulls()
        start = float(_days(dates).min()) if len(dates) else 0.0
        if parts is None:
            wanted = USUAL if len(dates) < ENOUGH else (*USUAL, *FINER)
            varied = {
                part for part in wanted if len(dates) and bool((_place(dates, part) != _place(dates, part)[0]).any())
            }
            chosen = tuple(part for part in PARTS if part in varied) or ("year",)
        else:
            chosen = tuple(part for part in PARTS if part in parts)
        scales = []
        for part in ("year", "elapsed"):
            if part in chosen:
                values = np.sort(_place(dates, part, start))
                spread = float(values.std()) if len(values) else 0.0
                scales.append((part, float(values.mean()) if len(values) else 0.0, spread or 1.0))
        made = DateEncoder(series.name, form, zone, chosen, start, tuple(scales), bool(series.has_nulls()))
        found = [rising(values) for values in made._numbers(dates)]
        return replace(made, quantiles=(*found, (0.0, 1.0)) if made.indicator else tuple(found))

    @property
    def columns(self) -> tuple[str, ...]:
        """The column read."""
        return (self.name,)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the numbers this column becomes."""
        names: list[str] = []
        for part in self.parts:
            waves = (" sin", " cos") if part in CYCLES else ("",)
            names += [f"{self.name} {part}{wave}" for wave in waves]
        return (*names, f"{self.name} is missing") if self.indicator else tuple(names)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """None: these are numbers."""
        return ()

    @property
    def note(self) -> str:
        """How the column is encoded, in a few words."""
        where = f" in {self.zone}" if self.zone else ""
        return "as " + ", ".join(self.parts) + where + (", missing cells marked" if self.indicator else "")

    def encode(self, series: pl.Series) -> list[NDArray[np.float32]]:
        """One [B] float32 column for every feature."""
        dates = as_dates(series.alias(self.name), self.form, self.zone)
        out = self._numbers(dates)
        return [*out, dates.is_null().to_numpy().astype(np.float32)] if self.indicator else out

    def part(self, frame: pl.DataFrame) -> Part:
        """The features of any rows; those of a missing date are marked as filler."""
        series = frame[self.name]
        values = self.encode(series)
        if not series.has_nulls():
            return Part(values)
        held = series.is_not_null().to_numpy()
        whole = len(values) - self.indicator
        return Part(values, [held] * whole + [None] * self.indicator)

    def _numbers(self, dates: pl.Series) -> list[NDArray[np.float32]]:
        scales = {part: (mean, spread) for part, mean, spread in self.scales}
        out: list[Floats] = []
        for part in self.parts:
            place = _place(dates, part, self.start)
            if part in CYCLES:
                turn = place * (2 * np.pi / CYCLES[part])
                out += [np.sin(turn), np.cos(turn)]
            elif part in scales:
                mean, spread = scales[part]
                out.append((place - mean) / spread)
            else:
                out.append(place)
        return [np.nan_to_num(column).astype(np.float32) for column in out]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder."""
        return {"kind": self.kind, **plain(vars(self))}

    @staticmethod
    def from_json(value: dict[str, Any]) -> DateEncoder:
        """The encoder `to_json` wrote."""
        known: dict[str, Any] = {key: one for key, one in value.items() if key != "kind"}
        known |= {key: tuple(tuple(one) for one in value[key]) for key in ("scales", "quantiles")}
        return DateEncoder(**(known | {"parts": tuple(value["parts"])}))


def _place(dates: pl.Series, part: str, start: float = 0.0) -> Floats:
    """[N] where each date stands in a part, from 0 on; NaN where there is none."""
    if part == "elapsed":
        return _days(dates) - start
    found = {
        "year": dates.dt.year, "month": dates.dt.month, "day": dates.dt.day, "weekday": dates.dt.weekday, "hour": dates.dt.hour,
        "minute": dates.dt.minute, "dayofyear": dates.dt.ordinal_day, "weekend": dates.dt.weekday,
    }[part]().cast(pl.Float64).to_numpy()  # fmt: skip
    if part == "weekend":
        return np.where(np.isnan(found), np.nan, found >= 6)
    first = 1 if part in ("month", "day", "weekday", "dayofyear") else 0
    return np.asarray(found - first)


def _days(dates: pl.Series) -> Floats:
    """[N] days since 1970, with their fraction."""
    return np.asarray((dates - _EPOCH).dt.total_microseconds().cast(pl.Float64).to_numpy() / 86_400e6)
