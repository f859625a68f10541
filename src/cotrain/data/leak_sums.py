"""Two inputs that together give a number away: a target that is their sum, their difference or any a x + b z + c of them.

Every pair is fitted by least squares on the rows of a sample that hold all three, by the two normal equations of centred columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.numbers import as_floats

ROWS = 5000
INPUTS = 30
"""Of more columns of numbers those are paired that go with the target most: 30 make 435 pairs."""

EXACT = 1e-6
"""At most this share of the target's variance is left by a pair that gives it away."""

_ENOUGH = 30
_CLASSES = 10

Floats = NDArray[np.float64]


def sum_leaks(
    frame: pl.DataFrame, inputs: Sequence[str], targets: Mapping[str, Sequence[str]], random: np.random.Generator
) -> list[str]:
    """A sentence for every target of numbers that two inputs together give away. inputs: columns of numbers. frame: training rows.

    >>> draw = np.random.default_rng(0)
    >>> frame = pl.DataFrame({"casual": draw.random(99), "registered": draw.random(99)}).with_columns(count=pl.col("casual") + pl.col("registered"))
    >>> sum_leaks(frame, ["casual", "registered"], {"count": ["count"]}, draw)[0][:93]
    "columns 'casual' and 'registered' together give the target 'count' of task 'count' away (1 x "
    """
    if frame.height > ROWS:
        frame = frame[np.sort(random.choice(frame.height, ROWS, replace=False))]
    read = {name: values for name in inputs if (values := _numbers(frame[name])) is not None}
    found = []
    for task, columns in targets.items():
        for column in columns:
            goal = _numbers(frame[column])
            if goal is None or len(np.unique(goal[np.isfinite(goal)])) <= _CLASSES:
                continue
            for one, other, (a, b) in pairs(read, goal):
                found.append(
                    f"columns '{one}' and '{other}' together give the target '{column}' of task '{task}' away "
                    f"({a:.4g} x '{one}' {'-' if b < 0 else '+'} {abs(b):.4g} x '{other}'): if they are not known before the target is, "
                    f"take at least one of them out of the inputs ('-{one}')"
                )
    return found


def pairs(inputs: Mapping[str, Floats], goal: Floats) -> list[tuple[str, str, tuple[float, float]]]:
    """(one, other, their factors) for pairs of inputs, neither of which alone is enough, that explain the goal to `EXACT`."""
    held = np.isfinite(goal)
    alone = {name: _share(goal, values) for name, values in inputs.items() if np.isfinite(values[held]).mean() > 0.5}
    near = sorted(alone, key=lambda name: -alone[name])[:INPUTS]
    names = [name for name in alone if name in near]
    found = [(one, other, fit(inputs[one], inputs[other], goal)) for one, other in combinations(names, 2)]
    return [(one, other, factors) for one, other, factors in found if factors is not None]


def fit(x: Floats, z: Floats, goal: Floats) -> tuple[float, float] | None:
    """(a, b) of a goal that is a x + b z + c where all three are there, in half of the goal's rows at least; None for any other.

    >>> x, z = np.arange(40.0), np.arange(40.0) ** 2
    >>> [round(factor, 6) for factor in fit(x, z, 3 * x - z + 1)], fit(x, z, x * z)
    ([3.0, -1.0], None)
    """
    held = np.isfinite(x) & np.isfinite(z) & np.isfinite(goal)
    if held.sum() < max(_ENOUGH, 0.5 * np.isfinite(goal).sum()):
        return None
    (x, wide), (z, deep), (y, high) = (_unit(one[held]) for one in (x, z, goal))
    xz, xy, zy = float((x * z).sum()), float((x * y).sum()), float((z * y).sum())
    if not wide * deep * high or xz**2 > 1 - 1e-9 or max(xy**2, zy**2) > 1 - 10 * EXACT:
        return None
    a, b = (xy - zy * xz) / (1 - xz**2), (zy - xy * xz) / (1 - xz**2)
    if float(np.square(y - a * x - b * z).sum()) > EXACT:
        return None
    return a * high / wide, b * high / deep


def _unit(values: Floats) -> tuple[Floats, float]:
    """(the values about their mean at length 1, their length); zeros at length 0 where they are all the same."""
    centred = values - values.mean()
    length = float(np.sqrt(np.square(centred).sum()))
    return (centred / length, length) if length > 1e-12 * float(np.abs(values).max(initial=0.0)) else (centred, 0.0)


def _share(goal: Floats, values: Floats) -> float:
    held = np.isfinite(goal) & np.isfinite(values)
    return float((_unit(goal[held])[0] * _unit(values[held])[0]).sum() ** 2) if held.any() else 0.0


def _numbers(series: pl.Series) -> Floats | None:
    if not (series.dtype.is_numeric() or series.dtype == pl.String):
        return None
    try:
        values = as_floats(series)
    except DataError:
        return None
    size = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return None if size > 1e150 else values
