"""Answers for new rows: encoded as the training rows were, one column or several a task."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from cotrain.core.fields import Batch
from cotrain.data.encode import TableEncoder
from cotrain.data.read import Table
from cotrain.model.compose import Model
from cotrain.training.evaluate import predictions

ROWS_AT_ONCE = 4096


def predict(model: Model, encoder: TableEncoder, table: Table) -> tuple[pl.DataFrame, list[str]]:
    """({column: answer} for every row in order, notes on what was ignored or never seen).

    Raises DataError naming the columns the rows lack.
    """
    fields, notes = encoder.encode(table.frame)
    rows = table.frame.height
    whole = Batch(fields, row=torch.arange(rows))
    batches = [whole.select(part) for part in torch.split(torch.arange(rows), ROWS_AT_ONCE)] if rows else []
    parts: dict[str, list[Any]] = {name: [] for name in model.tasks}
    if batches:
        for _, outputs in predictions(model, batches):
            for name, output in outputs.items():
                parts[name].append(output)
    columns: dict[str, Any] = {}
    for name, task in model.tasks.items():
        output = torch.cat(parts[name]) if parts[name] else torch.empty(0, max(task.outputs, 1))
        for column, values in task.decode(output).items():
            columns[_free(column, columns)] = values.tolist() if isinstance(values, np.ndarray) and not rows else values
    return pl.DataFrame(columns), [*table.notes, *notes]


def _free(column: str, taken: dict[str, Any]) -> str:
    """A column name no other task's answers have."""
    while column in taken:
        column += "_"
    return column
