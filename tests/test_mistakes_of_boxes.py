"""Mistakes in targets that are boxes: answered like all the others."""

from __future__ import annotations

from test_mistakes import Mistake, answered


def box(settings: str) -> dict[str, str]:
    """The edit that makes a box of line 8; its columns are four that rise, in tens."""
    return {"wage: regression": "where: {kind: box, columns: [x0, y0, x1, y1]" + settings + "}"}


def corners(cells: dict[str, list[object]], *, right: float = 60.0) -> None:
    rows = len(cells["age"])
    for name, value in {"x0": 10.0, "y0": 20.0, "x1": right, "y1": 80.0}.items():
        cells[name] = [value + row % 7 for row in range(rows)]


MISTAKES = [
    Mistake("a bare word box", {"wage: regression": "where: box"}, corners, at="8", path="tasks.where", says=("four different columns", "columns: [x0, y0, x1, y1]")),
    Mistake("two columns of a box", {"wage: regression": "where: {kind: box, columns: [age, hours]}"}, at="8", path="tasks.where", says=("got [age, hours]",)),
    Mistake("a column of a box that is not there", box(", size: [100, 100]"), at="8", path="tasks.where", says=("'x0'",)),
    Mistake("a form that is none", box(", form: center"), corners, at="8:55", path="tasks.where.form", says=("did you mean 'centre'?",)),
    Mistake("pixels taken for shares", box(""), corners, at="8", path="tasks.where", says=("beyond a picture of 1 x 1", "size: [width, height]")),
    Mistake("one number for a size", box(", size: 100"), corners, at="8:55", path="tasks.where.size", says=("[100]",)),
    Mistake("a size of one number", box(", size: [100]"), corners, at="8:55", path="tasks.where.size", says=("width and height",)),
    Mistake("sizes taken for corners", box(", size: [100, 100]"), lambda cells: corners(cells, right=3.0), at="8", path="tasks.where", says=("no width or no height", "is the form corner_size?")),
    Mistake("a loss of boxes", box(", loss: iou"), corners, at="8:55", path="tasks.where.loss", says=("did you mean 'giou'?",)),
    Mistake("boxes refused", box(", size: [100, 100], degenerate: refuse"), lambda cells: (corners(cells), cells["x1"].__setitem__(4, 1.0)), at="8", path="tasks.where", says=("row 5", "degenerate: missing")),
]  # fmt: skip


test_a_mistake_is_answered = answered(MISTAKES)
