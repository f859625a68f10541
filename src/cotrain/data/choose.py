"""Which columns are inputs, which are targets, which weigh the rows; and their cells made finite.

A name or a pattern (`*`, `?`, `[ab]`) chooses inputs, a leading minus takes columns out. A pattern never chooses a target, a
row weight or the column that splits; naming one of these as an input is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.spec import Codec
from cotrain.data.clean import Step, finite
from cotrain.data.column_settings import ColumnSettings
from cotrain.data.infer import Column
from cotrain.data.numbers import as_floats
from cotrain.data.read import Table
from cotrain.data.settings import DataSettings, SplitSettings


@dataclass(frozen=True)
class Ready:
    """A table whose columns are chosen. frame: with finite cells. targets: {task: columns}. weight: [N] or None. steps: counted.

    task_weights: {task: [N]} for tasks with row weights of their own.
    """

    frame: pl.DataFrame
    inputs: tuple[str, ...]
    targets: dict[str, tuple[str, ...]]
    weight: Tensor | None
    steps: list[Step] = field(default_factory=list)
    task_weights: dict[str, Tensor] = field(default_factory=dict)


def chosen(
    table: Table,
    targets: Mapping[str, Codec],
    inputs: Sequence[str],
    split: SplitSettings,
    weight: str | None,
    task_weights: Mapping[str, str] | None = None,
) -> Ready:
    """The columns by their part. Raises DataError or ConfigError naming every column that is absent or has two parts."""
    frame = table.frame
    if not targets:
        raise ConfigError(
            "at least one task is expected, got none; name one under `tasks`, for example {income: binary}"
        )
    columns = {task: tuple(codec.columns) for task, codec in targets.items()}
    absent = [
        f"task '{task}': {unknown('column', name, frame.columns)}"
        for task, names in columns.items()
        for name in names
        if name not in frame.columns
    ]
    absent += [
        f"inputs: {unknown('column', name.removeprefix('-'), frame.columns)}"
        for name in inputs
        if not _pattern(name) and name not in frame.columns and name.removeprefix("-") not in frame.columns
    ]
    if weight is not None and weight not in frame.columns:
        absent.append(f"data.weight: {unknown('column', weight, frame.columns)}")
    absent += [
        f"task '{task}': weight_column: {unknown('column', name, frame.columns)}"
        for task, name in (task_weights or {}).items()
        if name not in frame.columns
    ]
    if split.by is not None and split.by not in frame.columns:
        absent.append(f"data.split.by: {unknown('column', split.by, frame.columns)}")
    if absent:
        raise DataError("\n".join(absent))
    parts = {name: f"the target of task '{task}'" for task, names in columns.items() for name in names}
    if weight is not None:
        parts[weight] = "the row weight (data.weight)"
    for task, name in (task_weights or {}).items():
        if not parts.get(name, "the row weight").startswith("the row weight"):
            raise ConfigError(
                f"task '{task}': weight_column '{name}' is {parts[name]} at once; give a column that only weighs rows"
            )
        parts[name] = f"the row weight of task '{task}' (weight_column)"
    if split.by is not None:
        parts.setdefault(split.by, "the column that splits the rows (data.split.by)")
    twice = [name for name in inputs if name in parts]
    if twice:
        said = "; ".join(f"'{name}' is an input and {parts[name]} at once" for name in twice)
        raise ConfigError(f"inputs that are nothing else are expected: {said}. Take it out of `inputs`")
    names = matching(frame.columns, inputs, parts)
    if not names:
        raise ConfigError(
            f"inputs {list(inputs)} choose no column; the table has {', '.join(frame.columns[:20])}, of which "
            f"{', '.join(parts)} are no inputs"
        )
    weights = None if weight is None else row_weights(frame[weight])
    own = {
        task: row_weights(frame[name], f"task '{task}': weight_column") for task, name in (task_weights or {}).items()
    }
    frame, steps = finite(frame, list(dict.fromkeys((*names, *target_columns(columns)))))
    return Ready(frame, names, columns, weights, steps, own)


def matching(columns: Sequence[str], wanted: Sequence[str], taken: Mapping[str, str]) -> tuple[str, ...]:
    """The columns that names and patterns choose, in the table's order.

    >>> matching(["a", "b1", "b2", "y"], ["*", "-b?"], {"y": "target"})
    ('a',)
    """
    found: set[str] = set()
    for word in wanted:
        if word in columns:
            found.add(word)
        elif word.startswith("-") and word not in columns:
            bare = word[1:]
            found -= {name for name in columns if name == bare or fnmatchcase(name, bare)}
        else:
            found |= {name for name in columns if fnmatchcase(name, word) and name not in taken}
    return tuple(name for name in columns if name in found)


def row_weights(series: pl.Series, where: str = "data.weight") -> Tensor:
    """[N] float32 weights. Raises DataError naming the first row whose weight is missing, negative or no number."""
    weights = some_weights(series, where)
    if len(weights) and not bool(weights.any()):
        raise DataError(
            f"{where}: column '{series.name}' is 0 in every row, so no row would count; is it the right column?"
        )
    return weights


def some_weights(series: pl.Series, where: str = "data.weight") -> Tensor:
    """The same of some rows only, which may all have weight 0."""
    weights = as_floats(series)
    for wrong, what in ((~np.isfinite(weights), "missing or infinite"), (weights < 0, "negative")):
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{where}: column '{series.name}', row {row + 1}: a finite weight of 0 or more is expected, got "
                f"{series[row]} ({what}, {int(wrong.sum())} such rows); correct it, or take the weight out of the config"
            )
    return torch.from_numpy(weights.astype(np.float32))


def target_columns(targets: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Every target column once, in order."""
    return tuple(dict.fromkeys(name for names in targets.values() for name in names))


def columns_read(codec: Codec) -> list[str]:
    """A codec's own columns, and those of other tasks that it reads beside them (its attribute `reads`)."""
    return list(dict.fromkeys((*codec.columns, *getattr(codec, "reads", ()))))


def used_kinds(kinds: Mapping[str, str] | None, columns: Sequence[str], ready: Ready) -> dict[str, str]:
    """The kinds said for columns that are used. Raises ConfigError for a column the table does not have."""
    used = {*ready.inputs, *target_columns(ready.targets)}
    for name in kinds or {}:
        if name not in columns:
            raise ConfigError("data.kinds: " + unknown("column", name, list(columns)))
    return {name: kind for name, kind in (kinds or {}).items() if name in used}


READERS: dict[str, tuple[str, ...]] = {
    "impute": ("number", "category", "binary", "date"),
    "outliers": ("number",),
    "scaling": ("number",),
    "categories": ("category", "binary"),
    "text": ("text",),
    "dates": ("date",),
    "image": ("image",),
}
"""{setting of a single column: the kinds of columns that read it}."""


def check_columns(settings: DataSettings, columns: Sequence[str], inputs: Sequence[Column]) -> None:
    """Raises ConfigError naming every setting of a single column that would change nothing: no such column, no input, another kind."""
    taken = {column.name: column.kind for column in inputs}
    wrong: list[str] = []
    for name, said in settings.per_column.items():
        here = f"data.per_column.{name}"
        if name not in columns:
            wrong.append(f"{here}: {unknown('column', name, list(columns))}")
        elif name not in taken:
            wrong.append(
                f"{here}: column '{name}' is no input, so nothing of it is encoded; take this out, or name it under `inputs`"
            )
        else:
            wrong += [f"{here}.{key}: {what}" for key, what in _idle(name, taken[name], said)]
    if wrong:
        raise ConfigError("\n".join(wrong))


def _idle(name: str, kind: str, said: ColumnSettings) -> list[tuple[str, str]]:
    """(setting, what is wrong) of a column's settings that its kind does not read."""
    found = []
    for part in fields(said):
        known = READERS.get(part.name)
        if known is not None and getattr(said, part.name) is not None and kind not in known:
            found.append(
                (
                    part.name,
                    f"column '{name}' is taken for {kind}, and only {' and '.join(known)} columns read `{part.name}`; "
                    f"take it out, or say data.kinds: {{{name}: {known[0]}}}",
                )
            )
    impute = said.impute
    if impute is not None and kind in ("category", "binary") and impute.name in ("mean", "learned"):
        found.append(
            (
                "impute",
                f"column '{name}' is taken for {kind}, which has no {impute.name}; write most_frequent, drop, or {{categories: constant, label: unknown}}",
            )
        )
    if impute is not None and kind == "date" and impute.name != "drop":
        found.append(
            (
                "impute",
                f"column '{name}' is a date, whose missing cells stand at the mean year outside every cycle; only drop changes that, got {impute.name}",
            )
        )
    return found


def _pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")
