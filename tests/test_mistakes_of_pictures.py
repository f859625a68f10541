"""Mistakes with pictures: settings, paths, damaged files, encoders that read something else. Answered like all the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from test_mistakes import Cells, Mistake, answered, prepared

PATH = "path: census.csv"
ENCODER = "encoder: {name: mlp, widths: [8, 8], dropout: 0.1}"
INPUTS = 'inputs: ["*"]'


def data(line: str) -> dict[str, str]:
    """The edit that adds a line below `data:`, as line 3 of the file."""
    return {PATH: f"{PATH}\n  {line}"}


def net(words: str, inputs: str = "inputs: [photo]") -> dict[str, str]:
    """The edit that gives the photo, or other inputs, an encoder."""
    return {ENCODER: f"encoder: {words}", INPUTS: inputs}


def photos(folder: str = "photos") -> object:
    def edit(cells: Cells) -> None:
        cells["photo"] = [f"{folder}/{row % 12}.png" for row in range(120)]

    return edit


def three_broken(cells: Cells) -> None:
    """Each row its own picture, three of which are not there."""
    cells["photo"] = [f"photos/{row}.png" if row in (4, 5, 6) else f"photos/{row % 3}.png" for row in range(120)]


CONVNET = "{name: convnet, widths: [4]}"
MISTAKES = [
    Mistake("a size of nothing", data("image: {size: 0}"), at="3:17", path="data.image.size", says=("[height, width] of at least 1", "got 0")),
    Mistake("a key of pictures", data("image: {chanels: 3}"), at="3:11", path="data.image.chanels", says=("did you mean 'channels'?",)),
    Mistake("two channels", data("image: {channels: 2}"), at="3:21", path="data.image.channels", says=("2",)),
    Mistake("what becomes of broken ones", data("image: {broken: refus}"), at="3:19", path="data.image.broken", says=("'refuse'",)),
    Mistake("numbers as pictures", data("kinds: {age: image}"), says=("column 'age': paths, bytes or arrays of pictures are expected, got cells of type Int64",)),
    Mistake("pictures' settings for numbers", data("per_column: {age: {image: {size: 8}}}"), says=("only image columns read `image`",)),
    Mistake("a table for a net of pictures", net("resnet18", INPUTS), at="9:10", says=("encoder 'resnet18' reads one picture and nothing else", "inputs: [photo]")),
    Mistake("pictures for a net of tables", net("mlp"), cells=photos(), at="9:10", says=("input 'photo' is of kind 'image'", "encoders of pictures are convnet, resnet18")),
    Mistake("pictures that lie elsewhere", net(CONVNET), cells=photos("fotos"), says=("column 'photo': pictures to train on are expected, but none", "no such file in", "say data.image.folder")),
    Mistake("broken pictures that are refused", data("image: {broken: refuse}") | net(CONVNET), cells=three_broken, says=("3 pictures cannot be read: row 5 ('photos/4.png'): no such file", "data.image.broken: missing")),
    Mistake("streamed pictures", data("stream: true") | net(CONVNET), cells=photos(), says=("column 'photo' holds pictures", "set data.stream to false")),
    Mistake("an even kernel", net("{name: convnet, kernel: 4}"), cells=photos(), at="9:34", path="encoder.kernel", says=("must be odd", "got 4")),
    Mistake("a net of no width", net("{name: resnet18, width: 0}"), cells=photos(), at="9:34", path="encoder.width", says=("above 0",)),
    # ------------------------------------------------------------------------------------ said, and trained all the same
    Mistake("broken pictures", net(CONVNET), cells=three_broken, code=0, says=("broken picture", "photo", "3")),
]  # fmt: skip


def drawn(mistake: Mistake) -> None:
    """The config, the table and its pictures: twelve of one grey each, but for the broken ones."""
    Path("photos").mkdir()
    for row in range(12):
        if row not in (4, 5, 6) or mistake.cells is not three_broken:
            Image.fromarray(np.full((6, 6), row, dtype=np.uint8)).save(f"photos/{row}.png")
    prepared(mistake)


test_a_mistake_is_answered = answered(MISTAKES, begin=drawn)
