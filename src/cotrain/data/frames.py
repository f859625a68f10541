"""Frames and arrays from memory as one polars frame: polars, pandas (never imported), NumPy, dicts of columns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from cotrain.core.errors import DataError


def from_memory(source: Any) -> tuple[pl.DataFrame, str, list[str]]:
    """(frame, origin, notes) of a table in memory. Raises DataError naming what came if it is no table."""
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return source, "a polars frame", []
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return from_pandas(source)
    if isinstance(source, np.ndarray):
        return from_array(source), "a NumPy array", []
    if isinstance(source, Mapping):
        return from_columns(source), "a dict of columns", []
    raise DataError(
        f"a table is expected (a path, a glob, a polars or pandas frame, a NumPy array or a dict of columns), "
        f"got {type(source).__name__}"
    )


def from_array(array: np.ndarray[Any, Any]) -> pl.DataFrame:
    """A structured array by its field names, or a 2-D array with columns `x0`, `x1` ..."""
    if array.dtype.names:
        return from_columns({name: array[name] for name in array.dtype.names})
    if array.ndim != 2:
        raise DataError(
            f"a NumPy table has two axes (rows, columns) or named fields, got shape {array.shape}; "
            "reshape a single column to (rows, 1), or give a dict of columns"
        )
    return from_columns({f"x{place}": array[:, place] for place in range(array.shape[1])})


def from_columns(columns: Mapping[Any, Any]) -> pl.DataFrame:
    """A dict of columns; a 2-D value gives one column a column. All must have the same number of rows.

    An array [N, H, W] or [N, H, W, C] is a column of pictures.
    """
    flat: dict[str, pl.Series] = {}
    for key, value in columns.items():
        array = np.asarray(value) if not isinstance(value, (pl.Series, list, tuple)) else None
        if array is not None and array.ndim == 2:
            for place in range(array.shape[1]):
                flat[f"{key}_{place}"] = pl.Series(f"{key}_{place}", array[:, place])
            continue
        if array is not None and array.ndim in (3, 4) and array.dtype.kind in "biuf" and array.size:
            flat[str(key)] = pl.Series(str(key), np.ascontiguousarray(array))
            continue
        if array is not None and array.ndim != 1:
            raise DataError(
                f"column '{key}' has shape {array.shape}; a column has one axis, two for several columns, or, of pictures, "
                "[rows, height, width] or [rows, height, width, channels]"
            )
        flat[str(key)] = column(str(key), value if array is None else array)
    heights = {name: len(series) for name, series in flat.items()}
    if len(set(heights.values())) > 1:
        short, long = min(heights, key=heights.__getitem__), max(heights, key=heights.__getitem__)
        raise DataError(
            f"columns of one length are expected, got {heights[long]} rows in '{long}' and {heights[short]} in '{short}'"
        )
    return pl.DataFrame(flat)


def column(name: str, values: Any) -> pl.Series:
    """One column; cells of mixed kinds become words, so that none is lost."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        if values.dtype.kind == "S":
            values = values.astype(str)
        return pl.Series(name, values.tolist() if values.dtype.kind == "U" else np.ascontiguousarray(values))
    cells = [None if _absent(cell) else cell for cell in values]
    try:
        return pl.Series(name, cells, strict=True)
    except (TypeError, pl.exceptions.PolarsError, OverflowError):
        return pl.Series(name, [None if cell is None else str(cell) for cell in cells], dtype=pl.String)


def _absent(cell: Any) -> bool:
    return (
        cell is None or (isinstance(cell, float) and math.isnan(cell)) or type(cell).__name__ in ("NAType", "NaTType")
    )


def from_pandas(frame: Any) -> tuple[pl.DataFrame, str, list[str]]:
    """A pandas frame by its columns; its index is left out, and said if it is more than a count."""
    notes = []
    index = frame.index
    if type(index).__name__ != "RangeIndex":
        notes.append("the pandas index was left out; call reset_index() to keep it as a column")
    columns: dict[str, pl.Series] = {}
    for place, key in enumerate(frame.columns):
        name, series = str(key), frame.iloc[:, place]
        if name in columns:
            raise DataError(f"column names must differ, got '{name}' twice in the pandas frame; rename one")
        kind = getattr(series.dtype, "kind", "O")
        plain = isinstance(series.dtype, np.dtype) and kind in "biufM"
        columns[name] = column(name, series.to_numpy() if plain else list(series.astype(object)))
    return pl.DataFrame(columns), "a pandas frame", notes
