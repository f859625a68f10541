"""A few test rows with pictures and boxes, as the report is given them."""

from __future__ import annotations

import base64
import json

import torch

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.data.sample import EncodedData
from cotrain.encoders.convnet import ConvNet
from cotrain.losses.boxes import overlap
from cotrain.model import Model
from cotrain.recipe.shown_pictures import SHOWN, shown_pictures
from cotrain.report.lookup import Node, Notes
from cotrain.report.pictures import read_pictures
from cotrain.tasks import Box, Multiclass

SPECS = {"photo": FieldSpec("image", ("photo",), shape=(1, 8, 10))}
BOX = Box("where", columns=["a", "b", "c", "d"])


def rows(present: torch.Tensor, boxed: torch.Tensor) -> EncodedData:
    count = len(present)
    truth = torch.tensor([[0.25, 0.25, 0.75, 0.5]]).repeat(count, 1) * boxed.unsqueeze(1)
    pictures = torch.randint(0, 256, (count, 1, 8, 10), dtype=torch.uint8)
    targets = {"where": Field(truth, boxed), "what": Field.dense(torch.arange(count) % 2)}
    splits = {"train": torch.arange(5), "valid": torch.arange(0), "test": torch.arange(5, count)}
    return EncodedData({"photo": Field(pictures, present)}, targets, splits=splits)


def network(*tasks: object) -> Model:
    return Model(encoder=ConvNet(widths=[4]), tasks=list(tasks)).build({"main": SPECS})  # type: ignore[call-overload]


def test_rows_with_picture_and_box_are_shown_with_both_boxes() -> None:
    present, boxed = torch.ones(60, dtype=torch.bool), torch.ones(60, dtype=torch.bool)
    present[10], boxed[20] = False, False
    found = shown_pictures(network(BOX, Multiclass("what", classes=2)), rows(present, boxed), SPECS)
    assert found is not None
    places = [one["row"] for one in found["rows"]]
    assert len(places) == SHOWN
    assert (places[0], places[-1]) == (5, 59)
    assert not {10, 20} & set(places)
    first = found["rows"][0]
    assert first["size"] == [10, 8]
    assert base64.b64decode(first["png"])[:4] == b"\x89PNG"
    one = first["boxes"]["where"]
    assert one["true"] == [0.25, 0.25, 0.75, 0.5]
    seen = overlap(torch.tensor([one["true"]]), torch.tensor([one["predicted"]])).iou
    assert abs(float(seen) - one["iou"]) < 1e-3
    notes = Notes()
    again = read_pictures(Node(json.loads(json.dumps(found)), "pictures.json", "", notes))
    assert again is not None
    assert len(again.pictures) == SHOWN
    assert notes.sentences == []


def test_nothing_is_shown_without_a_box_or_a_picture() -> None:
    every = torch.ones(9, dtype=torch.bool)
    assert shown_pictures(network(Multiclass("what", classes=2)), rows(every, every), SPECS) is None
    assert shown_pictures(network(BOX), rows(every, every), {"x": FieldSpec("number")}) is None
    assert shown_pictures(network(BOX), rows(every, ~every), SPECS) is None
