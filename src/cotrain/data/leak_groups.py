"""Rows of one person, animal or machine on both sides of a random split: the test then asks for what training has seen.

A column is taken for a group by its name (`subject#`, `patient_id`), or, where the name or the words only look like an identifier,
if rows that share its value have targets that are alike: the share of a target's variance that group means explain beyond chance,
1 - (within / (N - G)) / (total / (N - 1)) for N rows in G groups, is above `ALIKE`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.data.identifiers import SHAPES
from cotrain.data.numbers import as_floats
from cotrain.data.typed import as_words

AT_RANDOM = ("random", "stratified")
"""The ways to split that do not look at groups or time."""

BEINGS = frozenset(
    ["subject", "patient", "participant", "person", "user", "customer", "client", "member", "student", "pupil", "respondent",
     "proband", "household", "speaker", "rater", "player", "animal", "mouse", "rat", "monkey", "donor"]
)  # fmt: skip
THINGS = frozenset(
    ["session", "trip", "visit", "device", "sensor", "machine", "engine", "vehicle", "battery", "turbine", "sample", "specimen",
     "case", "account", "store", "shop", "place", "site", "school", "hospital", "company", "author", "family", "unit"]
)  # fmt: skip
MARKS = frozenset(["id", "ids", "no", "nr", "num", "number", "code", "key", "uuid", "guid", "identifier", "name", ""])

FEWEST = 5
ALIKE = 0.3
SHARED = 0.5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def group_by_name(name: str) -> str | None:
    """What a name says of whom or what the row is about: a "being", a "thing" by an identifier, or nothing.

    >>> group_by_name("subject#"), group_by_name("placeID"), group_by_name("patient age")
    ('being', 'thing', None)
    """
    words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    if words & BEINGS and words <= BEINGS | MARKS:
        return "being"
    marked = bool(words & (MARKS - {"", "no", "name"}))
    return "thing" if marked and words <= THINGS | MARKS else None


def group_leaks(
    frame: pl.DataFrame, targets: Mapping[str, Sequence[str]], splits: Mapping[str, Tensor], method: str
) -> list[str]:
    """A sentence for every column whose groups lie on both sides of a random split. frame: all rows, columns that are no inputs too."""
    if method not in AT_RANDOM or "train" not in splits:
        return []
    taken = {name for columns in targets.values() for name in columns}
    found = []
    for name in frame.columns:
        series = frame[name]
        if name in taken or series.dtype.is_nested() or series.dtype == pl.Object or not _looks_like_one(series):
            continue
        codes = as_words(series).rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1
        sizes = np.bincount(codes[codes >= 0])
        if len(sizes) < FEWEST or sizes[sizes > 1].sum() < SHARED * len(codes) or len(sizes) > len(codes) / 2:
            continue
        if group_by_name(name) != "being" and _alike(codes, frame, sorted(taken)) < ALIKE:
            continue
        known = np.unique(codes[splits["train"].numpy()])
        for split in [one for one in ("test", "valid") if one in splits][:1]:
            there = codes[splits[split].numpy()]
            share = float((np.isin(there, known) & (there >= 0)).mean())
            if share >= SHARED:
                found.append(
                    f"'{name}' names {len(sizes)} groups, and {share:.0%} of the rows of the {split} split belong to one that is in "
                    f"training too: if the model is to meet new ones, its score is too good. Split by it: "
                    f"split: {{method: group, by: {name}}}"
                )
    return found


def _looks_like_one(series: pl.Series) -> bool:
    if group_by_name(series.name) is not None:
        return True
    if series.dtype != pl.String:
        return False
    sample = series.drop_nulls().head(200)
    shapes = (SHAPES["UUIDs"], SHAPES["hashes"], SHAPES["e-mail addresses"], r"^[A-Za-z]{1,12}[-_]?\d{3,}$")
    return len(sample) > 0 and any(bool(sample.str.contains(shape).all()) for shape in shapes)


def _alike(codes: Ints, frame: pl.DataFrame, targets: Sequence[str]) -> float:
    """The most that group means explain of any target."""
    return max((explained(codes, column) for name in targets for column in as_columns(frame[name])), default=0.0)


def as_columns(series: pl.Series, classes: int = 5) -> list[Floats]:
    """A target as columns of numbers, NaN where it is missing: itself, or 0 and 1 for each of its commonest classes."""
    if series.dtype.is_nested() or series.dtype == pl.Object:
        return []
    if series.dtype.is_numeric():
        try:
            return [as_floats(series)]
        except DataError:
            return []
    words = as_words(series)
    counts = (
        words.drop_nulls().alias("word").value_counts(name="count").sort(["count", "word"], descending=[True, False])
    )
    return [(words == word).cast(pl.Float64).to_numpy() for word in counts["word"].head(classes).to_list()]


def explained(codes: Ints, values: Floats) -> float:
    """The share of the variance of `values` that the means of groups explain beyond chance; 0 where there are too few rows.

    >>> explained(np.array([0, 0, 1, 1]), np.array([1.0, 3.0, 5.0, 7.0]))   # 1 - (4 / 2) / (20 / 3)
    0.7
    """
    held = np.isfinite(values) & (codes >= 0)
    codes, values = codes[held], values[held]
    groups = len(np.unique(codes))
    if len(values) - groups < 2:
        return 0.0
    values = values - values.mean()
    counts = np.maximum(np.bincount(codes), 1)
    within = float(np.square(values - (np.bincount(codes, values) / counts)[codes]).sum())
    total = float(np.square(values).sum())
    return 1 - within / (len(values) - groups) / (total / (len(values) - 1)) if total > 0 else 0.0
