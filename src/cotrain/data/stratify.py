"""A split that keeps the shares of every target's labels at once.

Rows with the same labels in all targets are dealt out by whole multiples; what is left over (fewer rows a combination than there
are splits) goes by iterative stratification: the rarest label first, each row to the split that lacks this label most.
Rows N, targets T, splits S.

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data", algorithm 1; the joint key first and the
moves at the end are additions: the first makes it linear in the rows and keeps the share of every combination, the second
brings the labels' shares nearer. No wanted split stays empty where there are rows enough. A row's split is chosen by all its labels, each weighed by its rarity, not by one alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.data.outliers import quantiles
from cotrain.data.typed import as_words

BINS = 5
"""A target of many different numbers counts as this many labels, cut at its quantiles."""

SWEEPS = 10
"""At most so many times all left-over rows are looked at for a move that brings the shares nearer."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def strata(series: pl.Series) -> Ints:
    """[N] labels 0 .. n - 1 of one target column for the split alone: its words, or its fifths; missing is a label too.

    >>> strata(pl.Series(["b", "a", None, "a"])).tolist()
    [1, 0, 2, 0]
    """
    if series.dtype.is_nested():
        return np.zeros(len(series), dtype=np.int64)
    if series.dtype.is_numeric() and series.drop_nulls().n_unique() > 20:
        values = series.cast(pl.Float64).to_numpy()
        finite = np.isfinite(values)
        edges = quantiles(values[finite], np.linspace(0, 1, BINS + 1)[1:-1])
        return np.where(finite, np.searchsorted(edges, values, side="right"), BINS).astype(np.int64)
    words = as_words(series)
    codes = words.rank("dense").to_numpy()
    top = float(np.nanmax(codes)) if words.null_count() < len(words) else 0.0
    return np.where(words.is_null().to_numpy(), top, np.nan_to_num(codes.astype(np.float64)) - 1).astype(np.int64)


def stratified(labels: Sequence[Ints], fractions: Sequence[float], random: np.random.Generator) -> Ints:
    """[N] the split of every row. labels: one [N] array a target. fractions: one a split, adding up to 1.

    >>> where = stratified([np.array([0, 0, 0, 0, 1, 1, 1, 1])], [0.5, 0.5], np.random.default_rng(0))
    >>> np.bincount(where[:4]).tolist(), np.bincount(where[4:]).tolist()
    ([2, 2], [2, 2])
    """
    rows = len(labels[0])
    share = np.asarray(fractions, dtype=np.float64)
    key = np.zeros(rows, dtype=np.int64)
    for one in labels:
        _, key = np.unique(key * (int(one.max(initial=0)) + 1) + one, return_inverse=True)
    order = random.permutation(rows)
    order = order[np.argsort(key[order], kind="stable")]
    sizes = np.bincount(key) if rows else np.zeros(0, dtype=np.int64)
    place = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    edges = np.cumsum(np.floor(sizes[:, None] * share + 1e-9), axis=1)
    dealt = (place[:, None] >= edges[np.repeat(np.arange(len(sizes)), sizes)]).sum(axis=1)
    where = np.full(rows, -1, dtype=np.int64)
    where[order] = np.where(dealt < len(share), dealt, -1)
    rest = np.flatnonzero(where < 0)
    _deal_rest(where, labels, share, random)
    _fill_empty(where, rest, labels, share)
    return where


def _fill_empty(where: Ints, rest: Ints, labels: Sequence[Ints], share: Floats) -> None:
    """Give each wanted split that got no row one of the left-over rows: of the largest split, the one whose labels it can spare best."""
    for split in np.flatnonzero(share > 0):
        sizes = np.bincount(where, minlength=len(share))
        movable = rest[sizes[where[rest]] > 1]
        if sizes[split] or not len(movable):
            continue
        rows = movable[sizes[where[movable]] == sizes[where[movable]].max()]
        same = where == where[rows[0]]
        rows = rows[same[rows]]
        spare = np.min([np.bincount(one[same], minlength=int(one.max()) + 1)[one[rows]] for one in labels], axis=0)
        where[rows[spare.argmax()]] = split


def _deal_rest(where: Ints, labels: Sequence[Ints], share: Floats, random: np.random.Generator) -> None:
    """Fill in the places of `where` that are -1: iterative stratification, then moves while one brings the shares nearer."""
    rest = random.permutation(np.flatnonzero(where < 0))
    if not len(rest):
        return
    everyone = np.zeros(len(where), dtype=np.int64)
    columns = [everyone, *labels]
    base = np.cumsum([0, *(int(one.max()) + 1 for one in columns)])
    tags = np.stack([one + start for one, start in zip(columns, base[:-1], strict=True)], axis=1)
    done = where >= 0
    wanted = np.bincount(tags.ravel(), minlength=int(base[-1]))[:, None] * share
    for split in range(len(share)):
        wanted[:, split] -= np.bincount(tags[done & (where == split)].ravel(), minlength=int(base[-1]))
    mine, weight = tags[rest], 1 / np.bincount(tags.ravel(), minlength=int(base[-1])).clip(1)
    shut = np.where(share > 0, 0.0, np.inf)
    chosen = _iterative(mine, wanted, weight, shut)
    for _ in range(SWEEPS):
        moved = 0
        for index, row in enumerate(mine):
            lack, here = weight[row] @ wanted[row], int(chosen[index])
            gain = lack - lack[here] - float(weight[row].sum()) - shut
            there = int(gain.argmax())
            if there != here and gain[there] > 1e-12:
                wanted[row, here] += 1
                wanted[row, there] -= 1
                chosen[index] = there
                moved += 1
        if not moved:
            break
    where[rest] = chosen


def _iterative(mine: Ints, wanted: Floats, weight: Floats, shut: Floats) -> Ints:
    """[rest] a split for every row: rows of the rarest label first, each to the split that lacks its labels most."""
    left = np.bincount(mine.ravel(), minlength=len(wanted))
    holders: dict[int, list[int]] = {}
    for index, row in enumerate(mine.tolist()):
        for tag in row:
            holders.setdefault(tag, []).append(index)
    chosen = np.full(len(mine), -1, dtype=np.int64)
    while left.any():
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for index in holders[rarest]:
            if chosen[index] < 0:
                row = mine[index]
                split = int((weight[row] @ wanted[row] - shut).argmax())
                chosen[index] = split
                wanted[row, split] -= 1
                left[row] -= 1
    return chosen
