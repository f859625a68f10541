"""Inputs that give a target away: a column that alone predicts it, or is its twin under another name.

Cheap tests on a sample of the training rows: area under the ROC curve, correlation (of values and of ranks), and how purely each
value of an input goes with one value of the target. A finding is a warning; only a person knows what is known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.numbers import as_floats
from cotrain.data.typed import as_words

SAMPLE = 10_000
BUDGET = 10_000_000
"""Cells looked at, over all pairs of an input and a target; wide tables get smaller samples, of 1,000 rows at least."""

AUC = 0.99
FEW_AUC = 0.999
"""Asked of a column where fewer than `_BOTH` rows have one of the two classes, so that a large area may be chance."""

CORRELATION = 0.9999
FEW_CLASSES = 20
_ENOUGH = 30
_BOTH = 20

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class View:
    """One column seen in both ways: as numbers where it is one, and as codes 0 .. n - 1 of its values; -1 is missing."""

    name: str
    numbers: Floats | None
    codes: Ints
    many: bool


def view(series: pl.Series, number: bool) -> View:
    """A column for the tests. many: too many different values to be classes."""
    numbers = None
    if number:
        try:
            numbers = as_floats(series)
        except DataError:
            numbers = None
    words = (
        as_words(series)
        if not series.dtype.is_nested()
        else series.to_frame().with_row_index("row")["row"].cast(pl.String)
    )
    codes = words.rank("dense").fill_null(0).to_numpy().astype(np.int64) - 1
    return View(series.name, numbers, codes, int(codes.max(initial=-1)) + 1 > FEW_CLASSES)


def leaks(
    frame: pl.DataFrame, inputs: Mapping[str, bool], targets: Mapping[str, Sequence[str]], random: np.random.Generator
) -> list[str]:
    """A sentence for every input that gives a target away. inputs: {column: it is a number}. targets: {task: columns}.

    frame: training rows; a sample of at most `SAMPLE` is looked at.

    >>> frame = pl.DataFrame({"cm": range(100), "inch": [2.54 * x for x in range(100)], "x": [x * 37 % 100 for x in range(100)]})
    >>> leaks(frame, {"inch": True, "x": True}, {"size": ["cm"]}, np.random.default_rng(0))
    ["column 'inch' gives the target 'cm' of task 'size' away (correlation 1.0000): if it is not known before the target is, take it out of the inputs ('-inch')"]
    """
    pairs = len(inputs) * sum(len(columns) for columns in targets.values())
    rows = max(1000, min(SAMPLE, BUDGET // max(pairs, 1)))
    if frame.height > rows:
        frame = frame[np.sort(random.choice(frame.height, rows, replace=False))]
    seen = {name: view(frame[name], number) for name, number in inputs.items()}
    found = []
    for task, columns in targets.items():
        for column in columns:
            target = view(frame[column], frame.schema[column].is_numeric())
            for one in seen.values():
                why = given_away(one, target, random)
                if why:
                    found.append(
                        f"column '{one.name}' gives the target '{column}' of task '{task}' away ({why}): if it is not known "
                        f"before the target is, take it out of the inputs ('-{one.name}')"
                    )
    return found


def given_away(one: View, target: View, random: np.random.Generator) -> str | None:
    """How an input alone predicts a target, in a few words, or None."""
    held = (target.codes >= 0) & (one.codes >= 0)
    if held.sum() < _ENOUGH or held.sum() < 0.5 * (target.codes >= 0).sum():
        return None
    codes, truth = one.codes[held], target.codes[held]
    numbers = None if one.numbers is None else one.numbers[held]
    if target.many and target.numbers is not None:
        goal = target.numbers[held]
        if numbers is not None:
            return _correlated(numbers, goal)
        return _explained(codes, goal)
    classes = np.unique(truth)
    if len(classes) < 2 or len(classes) > len(truth) / 5:
        return None
    if numbers is not None and len(classes) == 2:
        area = auc(numbers, truth == classes[1])
        area = max(area, 1 - area)
        fewest = min(int((truth == one).sum()) for one in classes)
        return f"AUC {area:.4f} alone" if area > (AUC if fewest >= _BOTH else FEW_AUC) else None
    return _pure(codes, truth) or (None if numbers is None else _in_runs(numbers, truth, random))


def auc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half.

    >>> auc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    ranks = ranked(scores)
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return 0.5
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _correlated(a: Floats, b: Floats) -> str | None:
    held = np.isfinite(a) & np.isfinite(b)
    if held.sum() < _ENOUGH:
        return None
    a, b = a[held], b[held]
    plain = _correlation(a, b)
    if abs(plain) > CORRELATION:
        return f"correlation {plain:.4f}"
    by_rank = _correlation(ranked(a), ranked(b))
    return f"rank correlation {by_rank:.4f}" if abs(by_rank) > CORRELATION else None


def ranked(values: Floats) -> Floats:
    """[N] ranks from 1 on, equal values with the mean of theirs."""
    order = np.argsort(values, kind="stable")
    line = values[order]
    first = np.flatnonzero(np.concatenate([[True], line[1:] != line[:-1]]))
    sizes = np.diff(np.append(first, len(values)))
    out = np.empty(len(values))
    out[order] = np.repeat(first + (sizes + 1) / 2, sizes)
    return out


def _correlation(a: Floats, b: Floats) -> float:
    sides = []
    for one in (a, b):
        size = float(np.abs(one).max()) or 1.0
        side = one / size - (one / size).mean()
        length = float(np.sqrt(np.square(side).sum()))
        if length < 1e-12 * np.sqrt(len(side)):
            return 0.0
        sides.append(side / length)
    return float((sides[0] * sides[1]).sum())


def _explained(codes: Ints, goal: Floats) -> str | None:
    """Whether the group means of a category explain a number: 1 - within-group variance / variance."""
    held = np.isfinite(goal)
    codes, goal = codes[held], goal[held]
    counts = np.bincount(codes)
    if (counts > 0).sum() > len(codes) / 5:
        return None
    goal = goal / (float(np.abs(goal).max(initial=0)) or 1.0)
    means = np.bincount(codes, goal) / np.maximum(counts, 1)
    total = float(np.square(goal - goal.mean()).sum())
    share = 1 - float(np.square(goal - means[codes]).sum()) / total if total > 0 else 0.0
    return f"its values explain {share:.2%} of it" if share > CORRELATION else None


def _pure(codes: Ints, truth: Ints) -> str | None:
    """Whether nearly every value of an input goes with one class, far beyond the commonest class."""
    values = len(np.unique(codes))
    if values > len(codes) / 5 or values < 2:
        return None
    table = np.zeros((int(codes.max()) + 1, int(truth.max()) + 1))
    np.add.at(table, (codes, truth), 1)
    purity, common = table.max(axis=1).sum() / len(codes), table.sum(axis=0).max() / len(codes)
    if 1 - purity <= 0.001 * min(1.0, 20 * (1 - common)):
        back = ", and each label with one of its values" if values == (table.sum(axis=0) > 0).sum() else ""
        return f"each of its values goes with one label in {purity:.2%} of the rows{back}"
    return None


def _in_runs(numbers: Floats, truth: Ints, random: np.random.Generator) -> str | None:
    """Whether the classes lie one after the other along a number: hardly more changes of label than there are classes."""
    held = np.isfinite(numbers)
    order = random.permutation(int(held.sum()))
    labels = truth[held][order][np.argsort(numbers[held][order], kind="stable")]
    share = np.bincount(labels) / max(len(labels), 1)
    by_chance = len(labels) * (1 - float(np.square(share).sum()))
    changes = int((labels[1:] != labels[:-1]).sum())
    if by_chance >= _ENOUGH and changes <= (share > 0).sum() - 1 + 0.002 * by_chance:
        return "each label has a range of its own along it"
    return None
