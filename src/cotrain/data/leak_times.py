"""Time leaks: neighbours in time on both sides of a random split, and inputs that hold the target of the row before or after.

How alike rows are that follow each other in time is the correlation of a target with that of the row before; drift is its correlation
with the rank of its row in time. Of classes, each of the commonest is a column of 0 and 1, and their mean counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.dates import as_dates
from cotrain.data.leak_groups import AT_RANDOM, as_columns
from cotrain.data.typed import as_words

ALIKE = 0.5
DRIFT = 0.3
FEWEST = 50

SHOWN = 8
"""So many more columns of dates are named."""

CHANGES = 20
SAME = 0.95
ROWS = 20_000

_BIRTH = re.compile(r"birth|born|dob")

Floats = NDArray[np.float64]
Marks = NDArray[np.uint64]


def time_leaks(
    frame: pl.DataFrame, dates: Mapping[str, str | None], targets: Mapping[str, Sequence[str]], method: str
) -> list[str]:
    """A sentence on the first date column along which targets go steadily while the split is at random, and on the others that are like it.

    frame: all rows in the order of the file. dates: {column: form}, as `as_dates` reads them; dates of birth are passed over.
    """
    if method not in AT_RANDOM:
        return []
    found: dict[str, str] = {}
    for name, form in dates.items():
        if _BIRTH.search(name.lower()):
            continue
        try:
            moments = as_dates(frame[name], form)
        except DataError:
            continue
        days = moments.dt.epoch("us").cast(pl.Float64).to_numpy()
        held = np.flatnonzero(np.isfinite(days))
        if len(held) < FEWEST or len(np.unique(days[held])) < FEWEST / 2:
            continue
        order = held[np.argsort(days[held], kind="stable")]
        in_order = float((np.diff(days[held]) >= 0).mean()) >= SAME
        seen = [(column, *_steady(frame[column][order])) for columns in targets.values() for column in columns]
        if not seen:
            continue
        column, alike, _ = max(seen, key=lambda one: one[1])
        drifted, _, drift = max(seen, key=lambda one: one[2])
        if alike > ALIKE:
            what = f"'{column}' is alike in rows that follow each other in time ('{name}', {alike:.2f} from one to the next)"
        elif in_order and drift > DRIFT:
            what = f"'{drifted}' drifts with time ('{name}', correlation {drift:.2f})"
        else:
            continue
        found[name] = (
            f"{what}, and the split is {method}: training has the neighbours of every test row. If later rows are to be predicted, its "
            f"score is too good. Split by time: split: {{method: time, by: {name}}}"
        )
    if not found:
        return []
    first, *others = found
    more = f", {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return [found[first] + (f". The same holds along {', '.join(others[:SHOWN])}{more}" if others else "")]


def _steady(target: pl.Series) -> tuple[float, float]:
    """(how alike a row is to the one before, how much it drifts) of a target whose rows stand in time's order."""
    alike, drift = [], []
    for values in as_columns(target):
        held = np.isfinite(values)
        if held.sum() >= FEWEST:
            line = values[held]
            alike.append(_correlation(line[1:], line[:-1]))
            drift.append(abs(_correlation(line, np.arange(len(line), dtype=np.float64))))
    return (float(np.mean(alike)), float(np.mean(drift))) if alike else (0.0, 0.0)


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum() / length) if np.isfinite(length) and length > 0 else 0.0


def shifted_targets(frame: pl.DataFrame, inputs: Sequence[str], targets: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for every input that holds the target of the row before or after, in the order of the file.

    Only rows count whose target differs from that one, so that a target which seldom changes accuses nobody.

    >>> frame = pl.DataFrame({"y": [x * 7 % 50 for x in range(60)], "x": [x * 7 % 50 for x in range(1, 61)]})
    >>> shifted_targets(frame, ["x"], {"count": ["y"]})[0][:62]
    "column 'x' is the target 'y' of task 'count' one row later: no"
    """
    head = frame.head(ROWS)
    cells = {name: _marks(head[name]) for name in inputs}
    found = []
    for task, columns in targets.items():
        for column in columns:
            y = _marks(head[column])
            for name, x in cells.items():
                if _same(x[1:], y[:-1], y[1:]):
                    found.append(
                        f"column '{name}' is the target '{column}' of task '{task}' one row earlier: it is known only where rows come one "
                        f"after the other; if so, split by time (split: {{method: time, by: ...}}), else take it out ('-{name}')"
                    )
                elif _same(x[:-1], y[1:], y[:-1]):
                    found.append(
                        f"column '{name}' is the target '{column}' of task '{task}' one row later: nobody knows it beforehand; "
                        f"take it out of the inputs ('-{name}')"
                    )
    return found


def _marks(series: pl.Series) -> Marks:
    """[N] a hash of every cell as a word, equal words alike; 0 is missing."""
    if series.dtype.is_nested() or series.dtype == pl.Object:
        return np.zeros(len(series), dtype=np.uint64)
    words = as_words(series)
    return np.where(words.is_null().to_numpy(), np.uint64(0), words.hash(seed=0).to_numpy())


def _same(cells: Marks, neighbours: Marks, own: Marks) -> bool:
    """Whether cells are the neighbours' targets wherever these differ from the row's own."""
    differ = (neighbours > 0) & (own > 0) & (cells > 0) & (neighbours != own)
    return int(differ.sum()) >= CHANGES and float((cells == neighbours)[differ].mean()) >= SAME
