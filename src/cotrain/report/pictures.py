"""Pictures of test rows with the true and the predicted boxes over them, read from pictures.json and drawn as SVG.

What stands in the file may come from a stranger: a picture is taken only if it is base64 of a PNG file, boxes only as finite numbers.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from cotrain.report.lookup import Node

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2_000_000
"""Longer base64 is no picture of ours."""

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class ShownBox:
    """One task's boxes in a picture, corners in shares of it; None where there is none."""

    task: str
    true: Corners | None
    predicted: Corners | None
    iou: float | None


@dataclass(frozen=True)
class ShownPicture:
    """A row's picture: its number, size in pixels, PNG as base64, and the boxes."""

    row: int | None
    width: float
    height: float
    png: str
    boxes: tuple[ShownBox, ...]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one input, of some rows of a split."""

    input: str
    split: str
    pictures: tuple[ShownPicture, ...]


def read_pictures(node: Node) -> Gallery | None:
    """The content of pictures.json; a picture that is none is left out with a note."""
    pictures = []
    for one in node.at("rows").items():
        sizes = tuple(size.as_number() for size in one.at("size").items())
        text = one.text("png") or ""
        if len(sizes) != 2 or not all(size is not None and 0 < size < 1e6 for size in sizes) or not is_png(text):
            node.notes.add(f"{one.file}: {one.path} holds no picture; it is left out")
            continue
        boxes = tuple(
            ShownBox(task, _corners(each.at("true")), _corners(each.at("predicted")), each.number("iou"))
            for task, each in one.at("boxes").entries()
        )
        width, height = (float(size or 1) for size in sizes)
        pictures.append(ShownPicture(one.whole("row"), width, height, text, boxes))
    if not pictures:
        return None
    return Gallery(node.text("input") or "", node.text("split") or "", tuple(pictures))


def is_png(text: str) -> bool:
    """Whether a text is base64 of what begins as a PNG file does.

    >>> is_png("iVBORw0KGgo="), is_png("javascript:alert(1)")
    (True, False)
    """
    if not text or len(text) > LARGEST or not re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text):
        return False
    try:
        return base64.b64decode(text, validate=True).startswith(SIGNATURE)
    except (binascii.Error, ValueError):
        return False


def drawn(picture: ShownPicture, colours: Mapping[str, int]) -> Markup:
    """The picture with its boxes: true ones as broad pale lines, predicted ones dashed; each task has its colour of the page's series."""
    width = 200.0
    height = round(min(max(width * picture.height / picture.width, 40.0), 600.0), 1)
    parts = [
        f'<image href="data:image/png;base64,{picture.png}" width="{width:g}" height="{height:g}" preserveAspectRatio="none"/>'
    ]
    for box in picture.boxes:
        colour = colours.get(box.task, 0) % 8
        for kind, corners in (("true", box.true), ("guess", box.predicted)):
            if corners is not None:
                left, top, right, bottom = (max(0.0, min(1.0, one)) for one in corners)
                parts.append(
                    f'<rect class="{kind}" style="stroke: var(--c{colour})" x="{left * width:.1f}" y="{top * height:.1f}" '
                    f'width="{max(0.0, right - left) * width:.1f}" height="{max(0.0, bottom - top) * height:.1f}"/>'
                )
    return Markup(
        f'<svg class="shown" viewBox="0 0 {width:g} {height:g}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
    )


def _corners(node: Node) -> Corners | None:
    found = [one.as_number() for one in node.items()]
    if len(found) != 4 or any(one is None for one in found):
        return None
    left, top, right, bottom = (float(one or 0.0) for one in found)
    return left, top, right, bottom
