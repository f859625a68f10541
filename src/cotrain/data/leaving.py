"""Rows that leave the training split because a cell is missing or an outlier, where that was asked for. No other split is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.clean import Step
from cotrain.data.column_settings import OutlierSettings
from cotrain.data.forest import ForestEncoder
from cotrain.data.infer import Column
from cotrain.data.numbers import as_floats
from cotrain.data.outliers import bounds_of, outside
from cotrain.data.settings import DataSettings

LABELS = ("category", "binary")


def staying(
    frame: pl.DataFrame, columns: Sequence[Column], settings: DataSettings, seed: int
) -> tuple[NDArray[np.bool_], list[Step]]:
    """([n] bool: the rows of the training split that stay in it, what was counted). frame: these rows; columns: the inputs.

    First rows with a missing cell where `impute` says drop, then, judged on the rows left, outliers where `outliers` says drop: those
    of single columns all on the same rows, then those of the isolation forest.
    Raises DataError if no row would stay.
    """
    stay = np.ones(frame.height, dtype=np.bool_)
    steps: list[Step] = []
    for column in columns:
        if _drops_missing(column, settings):
            missing = frame[column.name].is_null().to_numpy()
            stay &= ~missing
            steps += _left_out("rows with a missing cell", column.name, int(missing.sum()), "")
    rest = stay.copy()
    for column in columns:
        said = settings.of(column.name).outliers
        if column.kind == "number" and said.does == "drop" and said.name != "isolation_forest":
            values = as_floats(frame[column.name])
            held = values[rest & np.isfinite(values)]
            bounds = bounds_of(np.sort(held), said)
            if bounds is not None:
                odd = outside(values, bounds) & rest
                stay &= ~odd
                steps += _left_out(
                    "outlying rows", column.name, int(odd.sum()), f"outside {bounds[0]:g} to {bounds[1]:g}; "
                )
    if settings.outliers.name == "isolation_forest" and settings.outliers.does == "drop" and stay.any():
        names = in_forest(columns, settings)
        odd = odd_rows(frame.filter(pl.Series(stay)), names, settings.outliers, seed)
        stay[np.flatnonzero(stay)[odd]] = False
        steps += _left_out("outlying rows", None, int(odd.sum()), f"by {settings.outliers.trees} isolation trees; ")
    if frame.height and not stay.any():
        said_of = ", ".join(f"{step.count} {step.step} ({step.column or 'all columns'})" for step in steps)
        raise DataError(
            f"data: no row of the {frame.height} in the training split is left after {said_of}; fill these cells instead of drop, "
            "or take the column out of `inputs`"
        )
    return stay, steps


def in_forest(columns: Sequence[Column], settings: DataSettings) -> list[str]:
    """The number columns the isolation forest looks at: all but those with a setting of their own."""
    return [
        column.name
        for column in columns
        if column.kind == "number" and settings.of(column.name).outliers.name == "isolation_forest"
    ]


def odd_rows(frame: pl.DataFrame, names: Sequence[str], settings: OutlierSettings, seed: int) -> NDArray[np.bool_]:
    """[n] bool, True for a row the forest grown on these rows finds odd."""
    if not names:
        return np.zeros(frame.height, dtype=np.bool_)
    return ForestEncoder.fit(frame, names, settings, seed).odd(frame)


def _drops_missing(column: Column, settings: DataSettings) -> bool:
    said = settings.of(column.name)
    if column.kind in LABELS:
        return said.labels == "drop"
    own = settings.per_column.get(column.name)
    told = column.kind == "number" or (own is not None and own.impute is not None and column.kind == "date")
    return told and said.impute.name == "drop"


def _left_out(what: str, column: str | None, count: int, detail: str) -> list[Step]:
    """One step, or none where no row was touched."""
    return [Step(what, column, count, f"{detail}left out of the training split, kept in the others")] if count else []
