"""The account a run keeps of its data: every column with its part, and the labels of every task in every split. Plain JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.data.choose import Ready
from cotrain.data.clean import Step
from cotrain.data.columns import CountedEncoder
from cotrain.data.encode import TableEncoder
from cotrain.data.infer import Column
from cotrain.data.leaks import FEW_CLASSES
from cotrain.data.numbers import as_floats
from cotrain.data.sample import EncodedData
from cotrain.data.settings import SplitSettings
from cotrain.data.typed import as_words


def described_columns(
    columns: Mapping[str, Column],
    frame: pl.DataFrame,
    ready: Ready,
    encoder: TableEncoder,
    split: SplitSettings,
    weights: Collection[str],
) -> list[dict[str, Any]]:
    """One entry a column of the table: name, kind, why, missing, unique, role (input, target or ignored) and a note."""
    notes: dict[str, list[str]] = {}
    for one in encoder.encoders:
        for name in set(one.columns) & set(encoder.columns):
            notes.setdefault(name, []).append(one.note)
    tasks = {name: task for task, names in ready.targets.items() for name in names}
    out = []
    for name in frame.columns:
        if name in columns:
            entry = columns[name].to_json()
        else:
            why = (
                "weighs the rows"
                if name in weights
                else "splits the rows"
                if name == split.by
                else "not among the inputs"
            )
            missing = frame[name].null_count()
            entry = {"name": name, "kind": "ignore", "why": why, "missing": missing, "unique": None}
        if name in tasks:
            entry |= {"role": "target", "note": f"of task '{tasks[name]}'"}
        elif name in notes:
            entry |= {"role": "input", "note": "; ".join(notes[name])}
        else:
            entry |= {"role": "ignored", "note": ""}
        out.append(entry)
    return out


Changes = dict[tuple[str, str | None, str], tuple[int, int]]
"""{(step, column, detail): (cells or rows changed, those of them in the training split)}."""


def counted_changes(encoder: TableEncoder, frame: pl.DataFrame, training: NDArray[np.int64]) -> Changes:
    """What the encoders do to the cells of these rows. training: the places of the rows of the training split."""
    counts: Changes = {}
    frame = encoder.completed(frame)
    for one in encoder.encoders:
        for change in one.changes(frame) if isinstance(one, CountedEncoder) else ():
            key = (change.step, change.column, change.detail)
            counts[key] = (int(change.cells.sum()), int(change.cells[training].sum()))
    return counts


def change_steps(counts: Changes) -> list[Step]:
    """The steps of a report for changes that met a cell.

    >>> change_steps({("outlier clipped", "pay", "outside 1 to 9"): (5, 3), ("outlier clipped", "age", "outside 0 to 99"): (0, 0)})
    [Step(step='outlier clipped', column='pay', count=5, detail='outside 1 to 9; 3 of them in training')]
    """
    return [
        Step(step, column, cells, f"{detail}; {inside} of them in training")
        for (step, column, detail), (cells, inside) in counts.items()
        if cells
    ]


def label_counts(ready: Ready, task: str, data: EncodedData, splits: Mapping[str, Tensor]) -> dict[str, Any]:
    """Labelled rows in every split; of the training rows the class counts, or mean and standard deviation."""
    target = data.targets[task]
    out: dict[str, Any] = {name: int(target.present[rows].sum()) for name, rows in splits.items()}
    train = ready.frame[list(ready.targets[task])][splits["train"].numpy()]
    for name in ready.targets[task]:
        series = train[name]
        head = "" if len(ready.targets[task]) == 1 else f"{name} "
        if series.dtype.is_nested():
            continue
        if series.dtype.is_numeric() and series.drop_nulls().n_unique() > FEW_CLASSES:
            try:
                values = as_floats(series)
            except DataError:
                continue
            held = values[np.isfinite(values)]
            out |= {f"{head}mean": float(held.mean()), f"{head}std": float(held.std())}
        elif len(ready.targets[task]) == 1:
            counts = as_words(series).drop_nulls().alias("label").value_counts(name="count")
            counts = counts.sort(["count", "label"], descending=[True, False]).head(100)
            out["classes"] = dict(zip(counts["label"].to_list(), counts["count"].to_list(), strict=True))
    return out
