"""The contract of a column's encoder: fitted on training rows, kept as JSON, each row of a table the same numbers ever after.

A `ColumnEncoder` fills columns of one field. `FIELDS` says what a field is to a network; encoders of the same field stand side by
side in it, in the table's order. A `FieldEncoder` answers a whole field of its own: the tokens of a text, a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.data.drawn import LazyField

if TYPE_CHECKING:
    from cotrain.data.pictures import Read

FIELDS: dict[str, tuple[str, type[np.generic]]] = {
    "numbers": ("number", np.float32),
    "categories": ("category", np.int64),
    "words": ("bag", np.float32),
}
"""{field: (kind of its FieldSpec, type of its cells)}."""

QUANTILES = 65
"""So many quantiles of a column are kept at most: 64 intervals of equal share."""


@dataclass(frozen=True)
class Part:
    """What one encoder answers for B rows.

    values: one [B] array for every feature, or one [B, C] array of them all; finite everywhere. valid: one [B] bool array for every
    feature, False where a filler stands for a missing cell, or None where the feature has none; empty: none has any.
    notes: what was met that training never showed, one sentence each.
    """

    values: Sequence[NDArray[Any]] | NDArray[Any]
    valid: Sequence[NDArray[np.bool_] | None] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Change:
    """What cleaning does to cells of a column (None: to whole rows): `cells` [B] bool says to which, `detail` how."""

    step: str
    column: str | None
    cells: NDArray[np.bool_]
    detail: str = ""


@dataclass(frozen=True)
class Training:
    """What an encoder may be fitted with beside its own cells: `targets` {task: Field} of the same rows, and a seed.

    pictures: {column: the pictures of all rows of the table}, where they were read already; rows: which of them are these rows.
    """

    targets: Mapping[str, Field] = field(default_factory=dict)
    seed: int = 0
    pictures: Mapping[str, Read] = field(default_factory=dict)
    rows: NDArray[np.int64] | None = None


class ColumnEncoder(Protocol):
    """An encoder of one or several columns: a frozen value, equal to what `from_json(to_json())` gives.

    kind: its word in JSON and in the table of encoders. columns: what it reads. field: where its features go (`FIELDS`).
    features: their names. cardinalities: one a feature in a field of categories, else empty. quantiles: one rising tuple a feature in
    a field of numbers (`rising`), else empty. note: how the columns are encoded, in a few words.
    """

    kind: ClassVar[str]

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def field(self) -> str: ...

    @property
    def features(self) -> tuple[str, ...]: ...

    @property
    def cardinalities(self) -> tuple[int, ...]: ...

    @property
    def quantiles(self) -> tuple[tuple[float, ...], ...]: ...

    @property
    def note(self) -> str: ...

    def part(self, frame: pl.DataFrame) -> Part:
        """Any rows, each by itself. Raises DataError, naming the column and the first row, for cells of another kind."""
        ...

    def to_json(self) -> dict[str, Any]: ...

    @staticmethod
    def from_json(value: dict[str, Any]) -> ColumnEncoder: ...


@runtime_checkable
class FieldEncoder(Protocol):
    """An encoder whose column is a field by itself: a frozen value, equal to what `from_json(to_json())` gives.

    kind, columns, note: as of a ColumnEncoder. field: the name of its field, `field_name` of its column. spec: what a network may know of it.
    """

    kind: ClassVar[str]

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def field(self) -> str: ...

    @property
    def spec(self) -> FieldSpec: ...

    @property
    def note(self) -> str: ...

    def whole(self, frame: pl.DataFrame) -> tuple[Field | LazyField, list[str]]:
        """(the field, notes) of any rows, each by itself; `present` is False where the cell is missing.

        Raises DataError, naming the column and the first row, for cells of another kind.
        """
        ...

    def to_json(self) -> dict[str, Any]: ...

    @staticmethod
    def from_json(value: dict[str, Any]) -> FieldEncoder: ...


@runtime_checkable
class PlacedEncoder(Protocol):
    """A FieldEncoder whose cells name files: the same for rows whose table lies in a folder."""

    def placed(self, folder: Path | None) -> FieldEncoder: ...


@runtime_checkable
class FoldedEncoder(Protocol):
    """A ColumnEncoder that gives rows it was fitted on other values than later ones: each from folds the row is not in."""

    def training_part(self, frame: pl.DataFrame, places: NDArray[np.int64]) -> Part:
        """Rows of the training split; places [B]: where each stood in the frame the encoder was fitted on (0 is its first row)."""
        ...


@runtime_checkable
class CountedEncoder(Protocol):
    """A ColumnEncoder that cleans cells on the way; what it does is counted in the report, in training and later rows."""

    def changes(self, frame: pl.DataFrame) -> list[Change]:
        """What is done to the cells of any rows, each kind of change once, those done to no cell too."""
        ...


def field_name(column: str) -> str:
    """The name of the field that is one column's own: the column's, unless a field of `FIELDS` bears it.

    >>> field_name("photo"), field_name("words")
    ('photo', 'words_')
    """
    return f"{column}_" if column.rstrip("_") in FIELDS else column


def rising(values: NDArray[Any], most: int = QUANTILES) -> tuple[float, ...]:
    """Quantiles at equal shares, from the smallest to the largest, each a value that occurs; equal ones once.

    >>> rising(np.array([3.0, 1.0, 1.0, 2.0])), rising(np.arange(101), most=3)
    ((1.0, 2.0, 3.0), (0.0, 50.0, 100.0))
    """
    if not len(values):
        return ()
    ordered = np.sort(values)
    places = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(np.int64)
    return tuple(float(one) for one in np.unique(ordered[places]))
