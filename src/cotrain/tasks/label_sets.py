"""Targets that are sets of labels: several yes/no columns, one column of lists, or one of separated words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.tasks.labels import as_labels, in_order
from cotrain.tasks.yes_no import coded, yes_and_no


@dataclass(frozen=True)
class LabelSetCodec:
    """values [B, L] float, 1 where a row has the label.

    Several columns: a label each, whose cells say yes or no; a missing cell is not valid. One column: lists of labels, or words between `separator`;
    a missing cell is a row that is not present, an empty list a row without any label. Labels that no training row has are passed over, and said.
    labels: their names, empty until fitted or given. pairs: (no, yes) of every column. positive: labels that mean yes, for all columns.

    >>> codec = LabelSetCodec("tags", ("tags",), separator=",").fit(pl.DataFrame({"tags": ["sea, sun", "hill", None]}))
    >>> codec.labels, codec.encode(pl.DataFrame({"tags": ["sun", "sea,hill"]})).values.tolist()
    (('hill', 'sea', 'sun'), [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    """

    classed: ClassVar[bool] = False
    """Its cells are no classes, whatever few values they have."""

    task: str
    columns: tuple[str, ...]
    separator: str | None = None
    labels: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    positive: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        return len(self.columns) if len(self.columns) > 1 else len(self.labels)

    def fit(self, frame: pl.DataFrame) -> LabelSetCodec:
        """The codec with the labels of these rows. Raises DataError for cells that are no yes or no, no lists, or too many different labels."""
        if len(self.columns) > 1:
            pairs = tuple(yes_and_no(self.task, frame[name], self.positive) for name in self.columns)
            return replace(self, labels=self.columns, pairs=pairs)
        if self.labels:
            return self
        lists = self._lists(frame)
        found = in_order(as_labels(lists.explode()))
        where = f"task '{self.task}' (column '{self.columns[0]}')"
        if not found:
            raise DataError(f"{where}: expected labels in the training rows, found none; check the column or the split")
        held = len(lists) - lists.null_count()
        if len(found) > max(50, held // 2):
            raise DataError(
                f"{where}: {len(found)} different labels in {held} training rows are too many to learn; "
                "is the separator right? Name those that matter under labels:"
            )
        return replace(self, labels=found)

    def encode(self, frame: pl.DataFrame) -> Field:
        """[B, L] 0 and 1. Raises DataError before `fit`, and for cells that are no lists."""
        if len(self.columns) > 1:
            pairs = self.pairs or tuple(yes_and_no(self.task, frame[name], self.positive) for name in self.columns)
            cells = np.stack(
                [coded(frame[name], pair, self.positive) for name, pair in zip(self.columns, pairs, strict=True)], 1
            )
            valid = torch.from_numpy(~np.isnan(cells))
            return Field(torch.from_numpy(np.nan_to_num(cells).astype(np.float32)), valid.any(1), None, valid)
        if not self.labels:
            raise DataError(
                f"task '{self.task}': its labels are not known yet; fit the codec on the training rows first"
            )
        lists = self._lists(frame)
        place = pl.Series("row", np.arange(len(lists)), dtype=pl.Int64)
        each = pl.DataFrame([place, lists.alias("label")]).explode("label")
        codes = as_labels(each["label"]).replace_strict(
            list(self.labels), list(range(len(self.labels))), default=None, return_dtype=pl.Int64
        )
        known = codes.is_not_null()
        values = torch.zeros(len(lists), len(self.labels))
        values[each["row"].filter(known).to_torch(), codes.filter(known).to_torch()] = 1.0
        return Field(values, torch.from_numpy(lists.is_not_null().to_numpy().copy()))

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """What was not understood in these rows, and labels of which the training rows show only yes or only no."""
        if len(self.columns) > 1:
            found = []
            for name, pair in zip(self.columns, self.pairs, strict=True):
                cells = coded(frame[name], pair, self.positive)
                strange = int((np.isnan(cells) & as_labels(frame[name]).is_not_null().to_numpy()).sum())
                if strange:
                    found.append(
                        f"task '{self.task}': {strange} cells of column '{name}' are neither '{pair[0]}' nor '{pair[1]}'; they count as missing"
                    )
            return found
        labels = as_labels(self._lists(frame).explode()).drop_nulls()
        strange_labels = labels.filter(~labels.is_in(list(self.labels))).unique(maintain_order=True).to_list()
        if not strange_labels:
            return []
        listed = ", ".join(f"'{label}'" for label in strange_labels[:8])
        return [
            f"task '{self.task}': labels that no training row has are passed over: {listed}{' ...' if len(strange_labels) > 8 else ''}"
        ]

    def _lists(self, frame: pl.DataFrame) -> pl.Series:
        """The one column as lists of labels, null where its cell is missing."""
        series = frame[self.columns[0]]
        if isinstance(series.dtype, (pl.List, pl.Array)):
            return series.cast(pl.List(series.dtype.inner)) if isinstance(series.dtype, pl.Array) else series
        if self.separator is None:
            cells = series.cast(pl.String, strict=False).drop_nulls().head(1000)
            signs = [sign for sign in (";", "|", ",", " ") if cells.str.contains(sign, literal=True).any()]
            guess = f"its cells hold '{signs[0]}': give separator: '{signs[0]}'" if signs else "give its separator:"
            raise DataError(
                f"task '{self.task}': column '{self.columns[0]}' should hold lists of labels, but its cells are {series.dtype}; {guess}, "
                "or name several columns of yes and no under columns:"
            )
        return series.cast(pl.String).str.split(self.separator)

    def decoded(self, has: Tensor) -> list[Any]:
        """[N] the labels of every row, [N, L] bool: joined where they were separated words, else a list."""
        rows = [[label for label, one in zip(self.labels, row, strict=True) if one] for row in has.tolist()]
        return [self.separator.join(row) for row in rows] if self.separator is not None else rows

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "separator": self.separator,
            "labels": list(self.labels),
            "pairs": [list(pair) for pair in self.pairs],
            "positive": list(self.positive),
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> LabelSetCodec:
        """The codec `to_json` was asked of."""
        return LabelSetCodec(
            stored["task"],
            tuple(stored["columns"]),
            stored["separator"],
            tuple(stored["labels"]),
            tuple((no, yes) for no, yes in stored["pairs"]),
            tuple(stored["positive"]),
        )
