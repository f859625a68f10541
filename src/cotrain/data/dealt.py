"""Which split a row belongs to, told from the row alone, so that a table is split piece by piece and always alike.

`random` and `stratified`: by a hash of the row's number. `group`: by a hash of the group. `time`: before or after two moments, which are
quantiles of a sample. `column` and `files`: as they say. Shares are those of the fractions but for chance (.1 % of a million rows);
a label's share in every split likewise, which is all that `stratified` then means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.bits import chances, of_numbers, of_words
from cotrain.data.dates import as_dates, date_form
from cotrain.data.settings import SplitSettings
from cotrain.data.split import SPLITS, by_column, column_of

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Dealer:
    """Deals rows out to train (0), valid (1) and test (2).

    moments: where valid and test begin, for a split by time. form: how its dates are written. drawn: validation rows are drawn from
    training ones, because none are given.
    """

    settings: SplitSettings
    seed: int
    moments: tuple[float, float] | None = None
    form: str | None = None
    drawn: bool = False

    def __call__(self, frame: pl.DataFrame, rows: Ints, part: str | None) -> Ints:
        """[N] the split of every row of some file. rows: their numbers. part: the split the file was given for."""
        method, (train, valid, _) = self.settings.method, self.settings.fractions
        if method in ("random", "stratified", "group"):
            if method == "group":
                bits = of_words(column_of(frame, self.settings), self.seed, "groups")
            else:
                bits = of_numbers(rows, self.seed, "split")
            ends = [train, train + valid if self.settings.fractions[2] else 1.0]
            return np.searchsorted(np.array(ends), chances(bits), side="right").astype(np.int64)
        if method == "time":
            times = moments(column_of(frame, self.settings), self.form)
            early, late = self.moments or (np.inf, np.inf)
            return np.where(np.isnan(times) | (times < early), 0, np.where(times < late, 1, 2)).astype(np.int64)
        where = (
            by_column(column_of(frame, self.settings), self.settings)
            if method == "column"
            else np.full(len(rows), SPLITS.index(part or "train"), dtype=np.int64)
        )
        if self.drawn:
            share = valid / (train + valid)
            where[(where == 0) & (chances(of_numbers(rows, self.seed, "split")) < share)] = 1
        return where


def moments(times: pl.Series, form: str | None) -> NDArray[np.float64]:
    """[N] times as numbers that rise with them; NaN where there is none."""
    if times.dtype == pl.String:
        times = as_dates(times, form)
    if times.dtype.is_temporal():
        times = times.cast(pl.Datetime("us")).cast(pl.Int64) if times.dtype != pl.Time else times.cast(pl.Int64)
    return times.cast(pl.Float64).to_numpy().astype(np.float64)


def by_moments(settings: SplitSettings, seed: int, sample: pl.DataFrame) -> Dealer:
    """The dealer of a split by time: its moments are the sample's quantiles."""
    series = column_of(sample, settings)
    form = date_form(series)[0] if series.dtype == pl.String else None
    times = moments(series, form)
    held = np.sort(times[~np.isnan(times)])
    if not len(held):
        raise DataError(f"data.split by time: column '{series.name}' holds no time; is it the right column?")
    train, valid, test = settings.fractions
    early = held[min(len(held) - 1, round(train * len(held)))] if valid or test else np.inf
    late = held[min(len(held) - 1, round((train + valid) * len(held)))] if test else np.inf
    return Dealer(settings, seed, (float(early), float(late)), form)
