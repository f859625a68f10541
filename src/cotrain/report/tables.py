"""The tables of the page as rows of finished words, so that the templates only lay them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One cell: its words, a second quieter line, a tone (good, bad, quiet, strong), raw SVG drawn by this package."""

    text: str
    note: str = ""
    tone: str = ""
    drawing: str = ""


@dataclass(frozen=True)
class Head:
    """A column's head. `kind` is number, word, name (monospaced) or text (may wrap)."""

    label: str
    kind: str = "word"
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column is the row's head. `groups` gives a title before the row of that index."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: dict[int, str] = field(default_factory=dict)
    tall: bool = False


def table(caption: str, heads: Sequence[Head], rows: Sequence[Sequence[Cell | str]], *, tall: bool = False) -> Table:
    """A table from cells or bare words.

    >>> table("Tasks", [Head("Task")], [["age"]]).rows[0][0].text
    'age'
    """
    cells = tuple(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row) for row in rows)
    return Table(caption, tuple(heads), cells, tall=tall)
