"""Cleaning that loses nothing: stray whitespace, words for missing, cells that are no number or infinite. Every step is counted.

No row is dropped here; repeated rows are found, and left out of the training split only if asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """One thing done to the data: what, to which column (None: to rows), to how many cells or rows, and a detail."""

    step: str
    column: str | None
    count: int
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """The step as plain JSON."""
        return {"step": self.step, "column": self.column, "count": self.count, "detail": self.detail}


def tidy(frame: pl.DataFrame, words: Sequence[str]) -> tuple[pl.DataFrame, list[Step]]:
    """(frame, steps): words stripped of whitespace, words for missing and NaN cells made missing. Twice is the same as once.

    >>> tidy(pl.DataFrame({"label": [" yes", "?", "no "]}), ("?",))[0]["label"].to_list()
    ['yes', None, 'no']
    """
    texts = [name for name, dtype in frame.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    if not texts and not floats:
        return frame, []
    at = {name: pl.nth(place) for place, name in enumerate(frame.columns)}
    cells = {name: at[name].cast(pl.String) for name in texts}
    bare = {name: cell.str.strip_chars() for name, cell in cells.items()}
    counts = frame.select(
        *(
            (cell.str.len_bytes() != bare[name].str.len_bytes()).sum().alias(f"space:{name}")
            for name, cell in cells.items()
        ),
        *(bare[name].is_in(list(words)).sum().alias(f"word:{name}") for name in texts),
        *(at[name].is_nan().sum().alias(f"nan:{name}") for name in floats),
    ).row(0, named=True)
    steps: list[Step] = []
    changes: list[pl.Expr] = []
    for name in texts:
        spaces, missing = counts[f"space:{name}"] or 0, counts[f"word:{name}"] or 0
        change = bare[name] if spaces else cells[name]
        if spaces:
            steps.append(Step("whitespace stripped", name, spaces))
        if missing:
            found = (
                frame.select(bare[name].alias("word")).filter(pl.col("word").is_in(list(words)))["word"].unique().sort()
            )
            steps.append(Step("word for missing", name, missing, ", ".join(f"'{word}'" for word in found)))
            change = pl.when(change.is_in(list(words))).then(None).otherwise(change)
        if spaces or missing or frame.schema[name] != pl.String:
            changes.append(change.alias(name))
    for name in floats:
        if counts[f"nan:{name}"]:
            steps.append(Step("not a number", name, counts[f"nan:{name}"], "made missing"))
            changes.append(at[name].fill_nan(None).alias(name))
    return (frame.with_columns(changes) if changes else frame), steps


def finite(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, list[Step]]:
    """(frame, steps): infinite cells of the given columns made missing, with the first row named.

    >>> finite(pl.DataFrame({"x": [1.0, float("inf")]}), ["x"])[1][0].detail
    'first in row 2; made missing'
    """
    floats = [name for name in columns if frame.schema[name].is_float()]
    if not floats or not frame.height:
        return frame, []
    steps = []
    for name in floats:
        count = int(frame[name].is_infinite().sum())
        if count:
            first = frame[name].is_infinite().fill_null(False).arg_max()
            steps.append(Step("infinite cell", name, count, f"first in row {(first or 0) + 1}; made missing"))
    for step in steps:
        cell = pl.nth(frame.columns.index(str(step.column)))
        frame = frame.with_columns(pl.when(cell.is_infinite()).then(None).otherwise(cell).alias(str(step.column)))
    return frame, steps


def marks(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """[N] a 64-bit mark of every row's cells in `columns` (lists and bytes left out); equal rows have equal marks."""
    names = [name for name in columns if not frame.schema[name].is_nested() and frame.schema[name] != pl.Object]
    if not names:
        return pl.Series("mark", np.arange(frame.height, dtype=np.uint64))
    return frame[names].hash_rows(seed=0).alias("mark")


def repeated(rows: pl.Series) -> NDArray[np.bool_]:
    """[N] bool, True where a row with the same mark came earlier.

    >>> repeated(marks(pl.DataFrame({"x": [1, 2, 1]}), ["x"])).tolist()
    [False, False, True]
    """
    return ~rows.is_first_distinct().to_numpy()
