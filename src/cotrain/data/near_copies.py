"""Rows of a later split that are almost a training row: every number but one within a hundredth of its spread, every word but one.

Each cell is a whole number: a word's own, or a number's step on a ladder of `STEP` standard deviations. A row's mark is the sum of
hashes of its cells, so that the mark without a column is one subtraction; two rows that agree but for one column agree in one of
these marks. Rows agree by chance where few cells are anything special, so only those with `FEWEST` numbers or more that no more than
`COMMON` of the rows have are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from cotrain.data.numbers import as_floats
from cotrain.data.typed import as_words

STEP = 0.01
FEWEST = 5
DIFFERENT = 50
COMMON = 0.01
SHARE = 0.02
CELLS = 4_000_000
"""Cells looked at; of larger tables a sample is, of 1,000 training rows at least."""

Marks = NDArray[np.uint64]


def near_copies(
    frame: pl.DataFrame, columns: Mapping[str, bool], splits: Mapping[str, Tensor], random: np.random.Generator
) -> list[str]:
    """A sentence for every later split in which `SHARE` of the rows or more are almost a training row, yet not the same.

    frame: all rows. columns: {name: it is a number}, targets too.
    """
    names = [name for name in columns if not frame.schema[name].is_nested() and frame.schema[name] != pl.Object]
    if "train" not in splits or sum(columns[name] for name in names) < FEWEST:
        return []
    most = max(1000, CELLS // len(names))
    train = splits["train"].numpy()
    if len(train) > most:
        train = random.choice(train, most, replace=False)
    later = {split: rows.numpy()[: most // 4] for split, rows in splits.items() if split != "train" and len(rows)}
    part = frame[names][np.concatenate([train, *later.values()])]
    different = [name for name in names if columns[name] and part[name].n_unique() >= max(DIFFERENT, part.height / 100)]
    if len(different) < FEWEST:
        return []
    cells = [_cells(part[name], columns[name], place) for place, name in enumerate(names)]
    whole = np.zeros(part.height, dtype=np.uint64)
    special = np.zeros(part.height, dtype=np.int64)
    for name, cell in zip(names, cells, strict=True):
        whole += cell
        if name in different:
            _, place, counts = np.unique(cell, return_inverse=True, return_counts=True)
            special += counts[place] <= max(2, COMMON * part.height)
    exact = part.hash_rows(seed=0).to_numpy()
    found, start = [], len(train)
    for split, rows in later.items():
        there, start = slice(start, start + len(rows)), start + len(rows)
        near = np.zeros(len(rows), dtype=bool)
        for cell in cells:
            near |= among(whole[there] - cell[there], whole[: len(train)] - cell[: len(train)])
        near &= ~among(exact[there], exact[: len(train)]) & (special[there] >= FEWEST)
        count = int(near.sum())
        if count >= FEWEST and count >= SHARE * len(rows):
            found.append(
                f"{count} of {len(rows)} rows of the {split} split ({count / len(rows):.1%}) are almost a training row, all cells but one the "
                "same to a hundredth of their spread; if they are the same case, its score is too good: split by group or by time"
            )
    return found


def among(some: Marks, others: Marks) -> NDArray[np.bool_]:
    """[N] True where a mark is one of the others, by one sort and a search.

    >>> among(np.array([3, 4, 9], dtype=np.uint64), np.array([9, 3, 3], dtype=np.uint64)).tolist()
    [True, False, True]
    """
    if not len(others):
        return np.zeros(len(some), dtype=bool)
    line = np.sort(others)
    return np.asarray(line[np.searchsorted(line, some).clip(max=len(line) - 1)] == some)


def _cells(series: pl.Series, number: bool, place: int) -> Marks:
    """[N] a hash of every cell of a column."""
    if number:
        values = as_floats(series)
        held = values[np.isfinite(values)]
        spread = float(held.std()) if len(held) else 0.0
        steps = np.where(np.isfinite(values), np.nan_to_num(values) / (STEP * spread or 1.0), np.inf)
        keys = pl.Series("cell", np.clip(np.floor(steps), -9e15, 9e15).astype(np.int64))
    else:
        keys = as_words(series)
    return keys.hash(seed=place + 1).to_numpy().astype(np.uint64, copy=True)
