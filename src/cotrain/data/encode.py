"""A table's inputs as fields: fitted on the training rows only, kept as JSON, the same for every row that ever comes.

Fields: `numbers` [B, C] float32 (scaled numbers, date parts, indicators of missing cells) and `categories` [B, C] int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from cotrain.core.errors import DataError, nearest
from cotrain.core.fields import Field
from cotrain.core.spec import FieldSpec
from cotrain.data.categories import UNSEEN, CategoryEncoder
from cotrain.data.clean import tidy
from cotrain.data.dates import DateEncoder
from cotrain.data.infer import ENCODED, Column
from cotrain.data.numbers import NumberEncoder, as_floats
from cotrain.data.settings import MISSING
from cotrain.data.typed import as_words

FORMAT = 3
"""Raised whenever the same table would be split otherwise or encoded into other numbers; part of every cache key and stored file."""

ColumnEncoder = NumberEncoder | CategoryEncoder | DateEncoder
_KINDS: dict[str, type[ColumnEncoder]] = {"number": NumberEncoder, "category": CategoryEncoder, "date": DateEncoder}


@dataclass(frozen=True)
class TableEncoder:
    """The encoders of all input columns in order. known: every column the training table had. words: they mean missing."""

    encoders: tuple[ColumnEncoder, ...]
    known: tuple[str, ...] = ()
    words: tuple[str, ...] = MISSING

    @staticmethod
    def fit(
        frame: pl.DataFrame,
        columns: Sequence[Column],
        *,
        scaling: Literal["standard", "robust", "quantile"] = "standard",
        rare: int = 2,
        known: Sequence[str] = (),
        words: Sequence[str] = MISSING,
    ) -> TableEncoder:
        """Fitted on the rows of `frame`, which must be training rows. Columns of other kinds than `ENCODED` are left out."""
        encoders: list[ColumnEncoder] = []
        for column in columns:
            series = frame[column.name]
            if column.kind == "number":
                encoders.append(NumberEncoder.fit(column.name, as_floats(series), scaling))
            elif column.kind in ("category", "binary"):
                encoders.append(CategoryEncoder.fit(series, rare=rare))
            elif column.kind == "date":
                encoders.append(DateEncoder.fit(series, column.form))
        if not encoders:
            kinds = ", ".join(f"{column.name} ({column.kind})" for column in columns) or "none"
            raise DataError(
                f"at least one input column of kind {', '.join(ENCODED)} is needed, got: {kinds}; "
                "name more inputs, or say another kind in data.kinds"
            )
        return TableEncoder(tuple(encoders), tuple(known) or tuple(frame.columns), tuple(words))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a row must have."""
        return tuple(one.name for one in self.encoders)

    @property
    def specs(self) -> dict[str, FieldSpec]:
        """What a network's encoder may know before it sees a row."""
        numbers = [name for one in self.encoders if not isinstance(one, CategoryEncoder) for name in one.features]
        categories = [one for one in self.encoders if isinstance(one, CategoryEncoder)]
        specs: dict[str, FieldSpec] = {}
        if numbers:
            specs["numbers"] = FieldSpec("number", tuple(numbers), shape=(len(numbers),))
        if categories:
            sizes = tuple(one.cardinality for one in categories)
            specs["categories"] = FieldSpec(
                "category", tuple(one.name for one in categories), sizes, (len(categories),)
            )
        return specs

    def encode(self, frame: pl.DataFrame) -> tuple[dict[str, Field], list[str]]:
        """({field: Field}, notes) of any rows, none of them too. Columns never met are ignored and said.

        Raises DataError, for all columns at once, if one is absent or holds cells of another kind.
        """
        self.check(frame)
        notes = []
        extra = [name for name in frame.columns if name not in self.known]
        if extra:
            notes.append(f"columns not met in training are ignored: {', '.join(extra)}")
        frame, _ = tidy(frame[list(self.columns)], self.words)
        specs, rows = self.specs, frame.height
        numbers = np.empty((rows, len(specs["numbers"].names)), dtype=np.float32) if "numbers" in specs else None
        categories = np.empty((rows, len(specs["categories"].names)), dtype=np.int64) if "categories" in specs else None
        number = category = 0
        problems: list[str] = []
        for one in self.encoders:
            series = frame[one.name]
            try:
                if isinstance(one, CategoryEncoder):
                    codes = one.encode(series)
                    if categories is not None:
                        categories[:, category] = codes
                    category += 1
                    notes += _unseen(one, series, codes)
                    continue
                parts = one.encode(as_floats(series)) if isinstance(one, NumberEncoder) else one.encode(series)
            except DataError as error:
                problems.append(str(error))
                continue
            for part in parts:
                if numbers is not None:
                    numbers[:, number] = part
                number += 1
        if problems:
            raise DataError("\n".join(problems))
        fields = {}
        if numbers is not None:
            fields["numbers"] = Field.dense(torch.from_numpy(numbers))
        if categories is not None:
            fields["categories"] = Field.dense(torch.from_numpy(categories))
        return fields, notes

    def check(self, frame: pl.DataFrame) -> None:
        """Raises DataError naming every input column the frame lacks, with the nearest one it has."""
        absent = [name for name in self.columns if name not in frame.columns]
        if absent:
            spare = [name for name in frame.columns if name not in self.columns]
            said = [
                f"'{name}'" + (f" (is '{guess}' meant?)" if (guess := nearest(name, spare)) else "") for name in absent
            ]
            raise DataError(
                f"the columns the model was trained on are expected, missing: {', '.join(said)}; the table has "
                f"{', '.join(frame.columns[:20])}. Rename or add them (empty cells are allowed)"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON from which `from_json` makes an equal encoder, to the last bit."""
        return {
            "format": FORMAT,
            "known": list(self.known),
            "words": list(self.words),
            "columns": [one.to_json() for one in self.encoders],
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> TableEncoder:
        """The encoder `to_json` wrote. Raises DataError if another version of cotrain wrote it."""
        if value.get("format") != FORMAT:
            raise DataError(
                f"an encoder of format {FORMAT} is expected, got format {value.get('format')}; "
                "it was written by another version of cotrain: train again, or use that version"
            )
        encoders = tuple(_KINDS[one["kind"]].from_json(one) for one in value["columns"])
        return TableEncoder(encoders, tuple(value["known"]), tuple(value["words"]))


def _unseen(one: CategoryEncoder, series: pl.Series, codes: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    new = codes == UNSEEN
    count = int(new.sum())
    if not count or not (one.labels or one.pooled):
        return []
    fresh = as_words(series.filter(pl.Series(new)).drop_nulls().unique()).sort().head(3).to_list()
    shown = ", ".join(f"'{label}'" for label in fresh) or "missing, which training never had"
    return [f"column '{one.name}': {count} cells never seen in training ({shown})"]
