"""Columns of yes and no: which label means which, also where the training rows show one of them only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.tasks.labels import NEGATIVE_WORDS, as_labels, in_order

_PARTNERS = {"0": "1", "1": "0", "no": "yes", "yes": "no", "false": "true", "true": "false", "n": "y", "y": "n"}


def yes_and_no(task: str, series: pl.Series, positive: Sequence[str] = ()) -> tuple[str, str]:
    """(no, yes) of a column. positive: labels that mean yes, every other one then means no; else the known words for no (0, no, false ...) or
    the order of the two labels decide. Raises DataError for no label and for more than two.

    >>> yes_and_no("tags", pl.Series("sea", ["yes", "no", None])), yes_and_no("tags", pl.Series("hill", [0, 0]))
    (('no', 'yes'), ('0', '1'))
    """
    found = in_order(as_labels(series))
    where = f"task '{task}' (column '{series.name}')"
    if not found:
        raise DataError(
            f"{where}: expected yes or no in the training rows, found no label; check the column or the split"
        )
    if positive:
        rest = [label for label in found if label not in positive]
        yes = " or ".join(positive)
        return (rest[0] if len(rest) == 1 else f"not {yes}", yes)
    if len(found) > 2:
        listed = ", ".join(f"'{label}'" for label in found[:8])
        raise DataError(
            f"{where}: expected two labels, yes and no, found {len(found)}: {listed}{' ...' if len(found) > 8 else ''}; "
            "name under positive: the labels that mean yes, or make it a task of its own"
        )
    if len(found) == 1:
        other = _PARTNERS.get(found[0].lower(), f"not {found[0]}")
        return (found[0], other) if found[0].lower() in NEGATIVE_WORDS else (other, found[0])
    first, second = found
    swapped = first.lower() not in NEGATIVE_WORDS and second.lower() in NEGATIVE_WORDS
    return (second, first) if swapped else (first, second)


def coded(series: pl.Series, pair: tuple[str, str], positive: Sequence[str] = ()) -> NDArray[np.float64]:
    """[B] 1 for yes, 0 for no, NaN where there is no label or one that is neither.

    >>> coded(pl.Series("sea", ["yes", "no", "maybe", None]), ("no", "yes")).tolist()
    [1.0, 0.0, nan, nan]
    """
    labels = as_labels(series)
    if positive:
        codes = labels.is_in(list(positive)).cast(pl.Float64)
    else:
        codes = labels.replace_strict(list(pair), [0.0, 1.0], default=None, return_dtype=pl.Float64)
    return codes.fill_null(float("nan")).to_numpy().astype(np.float64)
