"""Pictures with boxes on the page: drawn where they are, and nothing a stranger writes into pictures.json acts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cotrain.data.png import png
from cotrain.report.lookup import Node, Notes
from cotrain.report.page import render
from cotrain.report.pictures import drawn, is_png, read_pictures
from cotrain.report.reading import read_run

PNG = base64.b64encode(png(torch.rand(1, 4, 8))).decode()
BOXES = {"where": {"true": [0.25, 0.5, 0.75, 1.0], "predicted": [0.0, 0.0, 0.5, 0.5], "iou": 0.125}}


def document(**row: Any) -> dict[str, Any]:
    rows = [{"row": 7, "size": [8, 4], "png": PNG, "boxes": BOXES, **row}]
    return {"format": 1, "input": "photo", "split": "test", "rows": rows}


def read(value: Any) -> tuple[Any, list[str]]:
    notes = Notes()
    return read_pictures(Node(value, "pictures.json", "", notes)), notes.sentences


def test_boxes_lie_where_their_corners_say() -> None:
    found, notes = read(document())
    assert notes == []
    svg = drawn(found.pictures[0], {"where": 3})
    assert 'viewBox="0 0 200 100"' in svg
    true = re.search(
        r'<rect class="true" style="stroke: var\(--c3\)" x="50.0" y="50.0" width="100.0" height="50.0"/>', svg
    )
    guess = re.search(r'<rect class="guess" .* x="0.0" y="0.0" width="100.0" height="50.0"/>', svg)
    assert true
    assert guess
    assert f"data:image/png;base64,{PNG}" in svg


def test_the_page_shows_them_and_has_no_such_part_without(made_up: Callable[..., Any]) -> None:
    folder = made_up(tasks=["digit", "where"])
    folder.all(epochs=3)
    assert 'id="pictures"' not in render(read_run(folder.folder))
    folder.json("pictures.json", document())
    page = render(read_run(folder.folder))
    assert 'id="pictures"' in page
    assert page.count('<svg class="shown"') == 1
    assert "<strong>0.13</strong>" in page or "<strong>0.12</strong>" in page
    assert "var(--c1)" in page  # the second task's colour


def test_a_row_without_a_true_box_says_so(made_up: Callable[..., Any]) -> None:
    folder = made_up(tasks=["where"])
    folder.all(epochs=3)
    folder.json("pictures.json", document(boxes={"where": {"true": None, "predicted": [0, 0, 1, 1], "iou": None}}))
    page = render(read_run(folder.folder))
    assert "no true box" in page
    assert 'class="true"' not in page


@pytest.mark.parametrize(
    "text",
    ["", "javascript:alert(1)", '"/><script>alert(1)</script>', base64.b64encode(b"<svg onload=alert(1)>").decode(), PNG + '"', "é", PNG[:5] + "!"],
)  # fmt: skip
def test_what_is_no_picture_is_left_out_and_noted(text: str) -> None:
    assert not is_png(text)
    found, notes = read(document(png=text))
    assert found is None
    assert notes == ["pictures.json: rows[0] holds no picture; it is left out"]


@pytest.mark.parametrize("size", [None, [8], [0, 4], ["8", "4"], [1e9, 4]])
def test_a_picture_without_a_size_is_left_out(size: Any) -> None:
    assert read(document(size=size))[0] is None


def test_corners_that_are_none_are_not_drawn_and_names_do_not_act(made_up: Callable[..., Any]) -> None:
    hostile = '"><script>window.hacked=1</script>'
    boxes = {hostile: {"true": [0, 0, "x", 1], "predicted": [-9, 0.5, float("nan"), 1], "iou": "a"}}
    folder = made_up(tasks=["where", hostile])
    folder.all(epochs=3)
    value = document(boxes=boxes) | {"input": hostile, "split": hostile}
    (folder.folder / "pictures.json").write_text(json.dumps(value))
    page = render(read_run(folder.folder))
    assert "<script>window.hacked" not in page
    assert 'class="guess"' not in page
