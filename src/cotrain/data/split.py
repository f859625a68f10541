"""Which rows train, validate and test: six ways, each reproducible from the seed, none that leaves a split empty in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError, unknown
from cotrain.core.randomness import derive
from cotrain.data.dates import as_dates
from cotrain.data.settings import SplitSettings
from cotrain.data.stratify import strata, stratified
from cotrain.data.typed import as_words

SPLITS = ("train", "valid", "test")
FEWEST = 10
"""Fewer rows than this cannot be split into three and taught from; below it `split_rows` refuses."""

TRIES = 20
"""How often groups are dealt out; the deal closest to the fractions is taken."""

AT_RANDOM = SplitSettings()
"""The default: at random, .7 / .1 / .2."""

_WORDS = {
    "train": ("train", "training", "tr"),
    "valid": ("valid", "validation", "val", "dev", "development", "eval"),
    "test": ("test", "testing", "te", "holdout"),
}

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """rows: {split: [n] int64 row numbers, rising}; a split left out on purpose is absent. notes: what was decided."""

    rows: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def split_rows(
    frame: pl.DataFrame,
    settings: SplitSettings = AT_RANDOM,
    *,
    seed: int = 0,
    targets: Sequence[str] = (),
    parts: Mapping[str, int] | None = None,
) -> Splits:
    """The rows of every split. targets: the columns a stratified split looks at. parts: rows per given file.

    Raises DataError if there are too few rows or groups, the column is absent or says something else, or a split would be empty.

    >>> splits = split_rows(pl.DataFrame({"x": range(10)}), seed=0)
    >>> {name: len(rows) for name, rows in splits.rows.items()}
    {'train': 7, 'valid': 1, 'test': 2}
    """
    rows = frame.height
    if rows < FEWEST:
        raise DataError(
            f"at least {FEWEST} rows are needed to train, validate and test, got {rows}; "
            "is this the right file, and does its header say what it should?"
        )
    random = np.random.default_rng(derive(seed, "split"))
    notes: list[str] = []
    if settings.method == "random":
        where = cut(random.permutation(rows), settings.fractions)
    elif settings.method == "stratified":
        labels = [strata(frame[name]) for name in targets]
        where = (
            stratified(labels, settings.fractions, random)
            if labels
            else cut(random.permutation(rows), settings.fractions)
        )
    elif settings.method == "group":
        where = by_group(column_of(frame, settings), settings.fractions, random, notes)
    elif settings.method == "time":
        where = by_time(column_of(frame, settings), settings.fractions, notes)
    elif settings.method == "column":
        where = by_column(column_of(frame, settings), settings)
    else:
        where = by_parts(parts or {}, rows)
    given = settings.method in ("column", "files")
    if given and not (where == 1).any():
        share = settings.fractions[1] / (settings.fractions[0] + settings.fractions[1])
        taken = random.permutation(np.flatnonzero(where == 0))
        where[taken[: max(1, round(share * len(taken)))]] = 1
        notes.append(
            f"no rows were given for validation: {int((where == 1).sum())} rows drawn from training (share {share:.3g})"
        )
    found = {name: np.flatnonzero(where == place) for place, name in enumerate(SPLITS)}
    for place, name in enumerate(SPLITS):
        wanted = name == "train" or (settings.fractions[place] > 0 and not given)
        if wanted and not len(found[name]):
            raise DataError(
                f"the {name} split would have no rows ({rows} rows, method {settings.method}, fractions "
                f"{list(settings.fractions)}); give more rows or groups, other fractions, or fraction 0 to leave the split out"
            )
        if not len(found[name]):
            notes.append(f"there is no {name} split")
    return Splits({name: torch.from_numpy(one) for name, one in found.items() if len(one)}, tuple(notes))


def cut(order: Ints, fractions: Sequence[float]) -> Ints:
    """[N] the split of every row: the first of `order` train, the next validate, the last test; no wanted split is empty."""
    rows = len(order)
    valid, test = (max(1, round(share * rows)) if share else 0 for share in fractions[1:])
    where = np.zeros(rows, dtype=np.int64)
    where[order[rows - valid - test : rows - test]] = 1
    where[order[rows - test :]] = 2
    return where


def column_of(frame: pl.DataFrame, settings: SplitSettings) -> pl.Series:
    """The column a split goes by."""
    if settings.by not in frame.columns:
        raise DataError("data.split.by: " + unknown("column", str(settings.by), frame.columns))
    return frame[settings.by]


def by_group(groups: pl.Series, fractions: Sequence[float], random: np.random.Generator, notes: list[str]) -> Ints:
    """Rows of one group stay together; of several random deals the one closest to the fractions is taken."""
    words = as_words(groups)
    if words.has_nulls():
        notes.append(f"{words.null_count()} rows without '{groups.name}' are kept together as one group")
    codes = group_codes(groups)
    sizes = np.bincount(codes)
    wanted = sum(share > 0 for share in fractions)
    if len(sizes) < wanted:
        raise DataError(
            f"data.split by group needs at least {wanted} groups, column '{groups.name}' has {len(sizes)}; "
            "is it the right column? With fraction 0 a split is left out"
        )
    share = np.asarray(fractions, dtype=np.float64)
    tries: list[Ints] = [_dealt(sizes, share, random) for _ in range(TRIES if len(sizes) <= 1000 else 1)]
    chosen: Ints = min(
        tries, key=lambda one: float(np.abs(np.bincount(one, sizes, minlength=3) - share * len(codes)).max())
    )
    filled = np.bincount(chosen, minlength=3)
    notes.append(
        f"{len(sizes)} groups of '{groups.name}': "
        + ", ".join(f"{count} {name}" for name, count in zip(SPLITS, filled.tolist(), strict=True))
    )
    return np.asarray(chosen[codes])


def group_codes(groups: pl.Series) -> Ints:
    """[N] the group of every row as a number from 0 on; rows without one are a group together.

    >>> group_codes(pl.Series(["b", "a", None, "b"])).tolist()
    [2, 1, 0, 2]
    """
    return np.asarray(as_words(groups).fill_null("\0missing").rank("dense").to_numpy().astype(np.int64) - 1)


def _dealt(sizes: Ints, share: NDArray[np.float64], random: np.random.Generator) -> Ints:
    """[groups] a split for each group, in random order, each to the split that lacks most in its share; none stays empty."""
    lack, empty = share * sizes.sum(), share > 0
    chosen = np.zeros(len(sizes), dtype=np.int64)
    for step, group in enumerate(random.permutation(len(sizes))):
        score = np.where(share > 0, lack / np.maximum(share, 1e-12), -np.inf)
        if empty.sum() >= len(sizes) - step:
            score = np.where(empty, score, -np.inf)
        split = int(score.argmax())
        chosen[group] = split
        lack[split] -= sizes[group]
        empty[split] = False
    return chosen


def by_time(times: pl.Series, fractions: Sequence[float], notes: list[str]) -> Ints:
    """The earliest rows train, the latest test; rows of the same moment stay together; rows without a time train."""
    missing = times.null_count()
    if missing:
        notes.append(f"{missing} rows without '{times.name}' are in training")
    if times.dtype == pl.String:
        times = as_dates(times, None)
    rank = np.array(times.rank("dense").fill_null(0).to_numpy(), dtype=np.int64)
    order = np.argsort(rank, kind="stable")
    where = cut(order, fractions)
    for split in (1, 2):
        start = np.flatnonzero(where[order] == split)
        if len(start) and start[0] > 0:
            moment = rank[order[start[0]]]
            same = (rank == moment) & (where < split)
            if moment > rank[order[0]]:
                where[same] = split
    return where


def by_column(words: pl.Series, settings: SplitSettings) -> Ints:
    """The split the column says, in the words given or in the usual ones."""
    names: dict[str, int] = {}
    said = [getattr(settings, name) for name in SPLITS]
    for place, name in enumerate(SPLITS):
        own = said[place]
        usual = _WORDS[name] if not any(said) else ()
        for word in ((own,) if isinstance(own, str) else own) or usual:
            names[str(word)] = place
    cells = as_words(words)
    lowered = cells if any(said) else cells.str.to_lowercase()
    codes = lowered.replace_strict(list(names), list(names.values()), default=None, return_dtype=pl.Int64)
    wrong = codes.is_null()
    if wrong.any():
        row = wrong.arg_max() or 0
        raise DataError(
            f"column '{words.name}', row {row + 1}: a split's name ({', '.join(names)}) is expected, got '{cells[row]}' "
            f"({int(wrong.sum())} such rows); correct it, or say which words mean what: "
            f"split: {{method: column, by: {words.name}, train: [...], valid: [...], test: [...]}}"
        )
    return np.array(codes.to_numpy(), dtype=np.int64)


def by_parts(parts: Mapping[str, int], rows: int) -> Ints:
    """The split of the file a row came from."""
    if sum(parts.values()) != rows or "train" not in parts:
        raise DataError(
            "data.split: method 'files' needs files given split by split; give `valid` and `test` beside `data.path`"
        )
    return np.concatenate([np.full(count, SPLITS.index(name), dtype=np.int64) for name, count in parts.items()])
