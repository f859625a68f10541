"""Everything that could give a target away, in one list of sentences; equal for equal tables and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from torch import Tensor

from cotrain.data.infer import Column
from cotrain.data.leak_groups import group_leaks
from cotrain.data.leak_sums import sum_leaks
from cotrain.data.leak_times import shifted_targets, time_leaks
from cotrain.data.leaks import leaks
from cotrain.data.near_copies import near_copies

TYPED = ("number", "category", "binary", "date")


def all_leaks(
    frame: pl.DataFrame,
    columns: Mapping[str, Column],
    inputs: Sequence[Column],
    targets: Mapping[str, Sequence[str]],
    splits: Mapping[str, Tensor],
    method: str,
    seed: int,
) -> list[str]:
    """A sentence for every finding, with what to do.

    frame: all rows. columns: of the inputs and targets, by name. method: of the split. Single columns are judged by training rows.
    """
    random = np.random.default_rng(seed)
    train = frame[splits["train"].numpy()]
    typed = [column for column in inputs if column.kind in TYPED]
    alone = {column.name: column.kind == "number" for column in typed}
    numbers = [name for name, number in alone.items() if number]
    cells = {name: one.kind == "number" for name, one in columns.items() if one.kind in TYPED}
    dates = {column.name: column.form for column in typed if column.kind == "date"}
    return [
        *leaks(train, alone, targets, random),
        *sum_leaks(train, numbers, targets, random),
        *shifted_targets(frame, [column.name for column in typed], targets),
        *group_leaks(frame, targets, splits, method),
        *time_leaks(frame, dates, targets, method),
        *near_copies(frame, cells, splits, random),
    ]
