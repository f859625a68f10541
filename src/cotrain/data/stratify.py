"""A split that keeps the shares of every target's labels at once.

Rows with the same labels in all targets are dealt out by whole multiples; what is left over (fewer rows a combination than there
are splits) goes by iterative stratification: the rarest label first, each row to the split that lacks this label most.
Rows N, targets T, splits S.

Source: Sechidis, Tsoumakas, Vlahavas 2011, "On the stratification of multi-label data", algorithm 1; the joint key first is an
addition that makes it linear in the rows and leaves the shares of every combination within one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.data.typed import as_words

BINS = 5
"""A target of many different numbers counts as this many labels, cut at its quantiles."""

Ints = NDArray[np.int64]


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
        edges = np.quantile(values[finite], np.linspace(0, 1, BINS + 1)[1:-1])
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
    _deal_rest(where, labels, share, random)
    return where


def _deal_rest(where: Ints, labels: Sequence[Ints], share: NDArray[np.float64], random: np.random.Generator) -> None:
    """Fill in the places of `where` that are -1, by iterative stratification."""
    rest = random.permutation(np.flatnonzero(where < 0))
    if not len(rest):
        return
    base = np.cumsum([0, *(int(one.max()) + 1 for one in labels)])
    tags = np.stack([one + start for one, start in zip(labels, base[:-1], strict=True)], axis=1)
    done = where >= 0
    wanted = np.zeros((int(base[-1]), len(share)))
    for column in range(tags.shape[1]):
        np.add.at(wanted, tags[:, column], share)
        np.subtract.at(wanted, (tags[done, column], where[done]), 1.0)
    total = len(where) * share - np.bincount(where[done], minlength=len(share))
    mine = tags[rest]
    left = np.bincount(mine.ravel(), minlength=int(base[-1]))
    holders: dict[int, list[int]] = {}
    for index, row in enumerate(mine.tolist()):
        for tag in row:
            holders.setdefault(tag, []).append(index)
    open_split = share > 0
    while left.any():
        rarest = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for index in holders[rarest]:
            row = rest[index]
            if where[row] >= 0:
                continue
            need = np.where(open_split, wanted[rarest] + 1e-6 * total, -np.inf)
            split = int(need.argmax())
            where[row] = split
            total[split] -= 1
            wanted[mine[index], split] -= 1
            left[mine[index]] -= 1
