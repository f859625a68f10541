"""Answers for new rows: encoded as the training rows were, one column or several a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import polars as pl
import torch

from cotrain.core.errors import ConfigError, unknown
from cotrain.core.fields import MAIN
from cotrain.core.spec import Task
from cotrain.data.encode import TableEncoder
from cotrain.data.image_encoder import ImageEncoder
from cotrain.data.manners import Manner, manners, numbered
from cotrain.data.notes import Notes
from cotrain.data.picture_columns import from_one_folder
from cotrain.data.pieces import LargeTable
from cotrain.data.read import Table
from cotrain.data.sample import EncodedData
from cotrain.model.compose import Model
from cotrain.training.evaluate import predictions, rows_at_once


def predict(
    model: Model,
    encoder: TableEncoder,
    table: Table,
    thresholds: Mapping[str, float] | None = None,
    source: str = MAIN,
) -> tuple[pl.DataFrame, list[str]]:
    """({column: answer} for every row in order, notes on what was ignored or never seen).

    thresholds: {task: probability from which a yes/no task says yes}, in place of the config's. source: whose rows these are; its tasks answer.
    Raises DataError naming the columns the rows lack, ConfigError for a threshold of a task that has none.
    """
    tasks = {
        name: task
        for name, task in with_thresholds(model.tasks, thresholds or {}).items()
        if model.sources[name] in (None, source)
    }
    beside = [one.name for one in encoder.encoders if isinstance(one, ImageEncoder) and one.folder is None]
    table = from_one_folder(table, beside)
    fields, notes = encoder.encode(table.frame, folder=table.folder)
    rows = table.frame.height
    data = EncodedData(fields, splits={"new": torch.arange(rows)}, source=source)
    parts: dict[str, list[Any]] = {name: [] for name in model.tasks}
    if rows:
        for _, outputs in predictions(model, data.batches("new", rows_at_once(data.first("new", 1), data.longest))):
            for name, output in outputs.items():
                parts[name].append(output)
    notes += [note for one in data.lazy.values() for note in one.notes()]
    columns: dict[str, Any] = {}
    for name, task in tasks.items():
        output = torch.cat(parts[name]) if parts[name] else torch.empty(0, max(task.outputs, 1))
        for column, values in task.decode(output).items():
            columns[_free(column, columns)] = values.tolist() if isinstance(values, np.ndarray) and not rows else values
    return pl.DataFrame(columns), [*table.notes, *notes]


def predict_pieces(
    model: Model,
    encoder: TableEncoder,
    table: LargeTable,
    thresholds: Mapping[str, float] | None = None,
    notes: Notes | None = None,
    source: str = MAIN,
) -> Iterator[pl.DataFrame]:
    """The same answers, piece by piece, so that memory does not grow with the rows; `notes` takes what there is to say.

    Numbers in columns of words are read as in training, or, where they are written otherwise, as the first piece has them.
    """
    notes = notes if notes is not None else Notes()
    found: dict[str, Manner] | None = None
    for piece in table.pieces(notes):
        if found is None:
            found, said = manners(piece.frame, table.reading.decimal, table.comma_free, dict(encoder.manners))
            notes.add(said)
        with piece.placed():
            part = Table(numbered(piece.frame, found), table.origin, reading=table.reading, folder=piece.file.parent)
            answers, said = predict(model, encoder, part, thresholds, source)
        notes.add(said)
        yield answers


def with_thresholds(tasks: Mapping[str, Task], thresholds: Mapping[str, float]) -> dict[str, Task]:
    """The tasks with other decision thresholds. Raises ConfigError naming a task that is unknown or knows no threshold."""
    out = dict(tasks)
    for name, threshold in thresholds.items():
        if name not in tasks:
            raise ConfigError(unknown("task", name, list(tasks)))
        if not hasattr(tasks[name], "deciding"):
            raise ConfigError(
                f"task '{name}' is of kind '{tasks[name].kind}', which decides by no threshold; only yes/no tasks do"
            )
        out[name] = cast(Task, cast(Any, tasks[name]).deciding(threshold))
    return out


def _free(column: str, taken: dict[str, Any]) -> str:
    """A column name no other task's answers have."""
    while column in taken:
        column += "_"
    return column
