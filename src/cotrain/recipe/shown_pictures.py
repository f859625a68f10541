"""A few test rows with their pictures and boxes, true and predicted, as a JSON document that the report draws."""

from __future__ import annotations

import base64
from typing import Any

import torch

from cotrain.core.fields import Batch
from cotrain.core.spec import InputSpec
from cotrain.data.drawn import RowData
from cotrain.data.png import png
from cotrain.data.sample import EncodedData
from cotrain.losses.boxes import overlap
from cotrain.model.compose import Model
from cotrain.tasks.box import Box, in_picture
from cotrain.training.evaluate import gather

PICTURES = "pictures.json"
FORMAT = 1
SHOWN = 12
"""So many rows are shown."""


def shown_pictures(model: Model, data: RowData, specs: InputSpec) -> dict[str, Any] | None:
    """Pictures (PNG in base64) of test rows, of validation rows where there are none, and each box task's boxes as corners in shares.

    None without a box task or without a picture. Rows are spread evenly over the split, whatever they score; of a stream they are the first.
    Those that lack the picture, or every box, are passed over. Where there are several pictures, the first one is shown.
    """
    tasks = [task for task in model.tasks.values() if isinstance(task, Box) and task.name in data.task_names]
    name = next((name for name, spec in specs.items() if spec.kind == "image"), None)
    split = next((one for one in ("test", "valid") if data.counts.get(one)), None)
    if not tasks or name is None or split is None:
        return None
    batch = _spread(data, split, name, [task.name for task in tasks])
    if name not in batch.inputs or not len(batch):
        return None
    found = gather(model, [batch])
    rows: list[dict[str, Any]] = []
    for place in range(len(batch)):
        picture = batch.inputs[name].values[place]
        boxes: dict[str, Any] = {}
        for task in tasks:
            if task.name not in found:
                continue
            guess = in_picture(found[task.name].output[place : place + 1].double())
            target = found[task.name].target
            truth = target.values[place : place + 1].double() if bool(target.present[place]) else None
            boxes[task.name] = {
                "predicted": _rounded(guess[0].tolist()),
                "true": None if truth is None else _rounded(truth[0].tolist()),
                "iou": None if truth is None else round(float(overlap(guess, truth).iou), 4),
            }
        rows.append(
            {
                "row": place if batch.row is None else int(batch.row[place]),
                "size": [int(picture.shape[2]), int(picture.shape[1])],
                "png": base64.b64encode(png(picture)).decode("ascii"),
                "boxes": boxes,
            }
        )
    return {"format": FORMAT, "input": name, "split": split, "rows": rows}


def _spread(data: RowData, split: str, name: str, tasks: list[str]) -> Batch:
    """SHOWN rows with a picture and a box, evenly spread where all rows are at hand."""
    if isinstance(data, EncodedData):
        rows = data.rows(split)
        held = torch.stack([data.targets[task].present[rows] for task in tasks if task in data.targets]).any(0)
        rows = rows[held & data.inputs[name].present[rows]]
        places = torch.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().long()
        return data.batch(rows[places])
    batch = data.first(split, 4 * SHOWN)
    held = torch.stack([batch.targets[task].present for task in tasks if task in batch.targets]).any(0)
    return batch.select((held & batch.inputs[name].present).nonzero().squeeze(1)[:SHOWN])


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 5) for value in values]
