"""Labels of a class target: read, stripped of stray whitespace, numbered.

A label is compared as text, so that True, 1, 1.0, "1", "1.0" and " 1 " are one class. Words for missing cells are the data room's affair; here only
an empty text and NaN are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from cotrain.core.errors import DataError, nearest
from cotrain.core.fields import Field


def as_labels(series: pl.Series) -> pl.Series:
    """A column as stripped text labels, null where there is none: whole numbers lose their ".0", truth values become 0 and 1."""
    if series.dtype == pl.Boolean:
        return series.cast(pl.Int8).cast(pl.String)
    if series.dtype.is_float():
        held = series.is_finite().fill_null(False)
        whole = series.zip_with(
            held & (series == series.round()).fill_null(False), pl.Series([None], dtype=series.dtype)
        )
        numbers = whole.cast(pl.Int64, strict=False).cast(pl.String)
        others = series.zip_with(~series.is_nan().fill_null(False), pl.Series([None], dtype=series.dtype)).cast(
            pl.String
        )
        return numbers.zip_with(numbers.is_not_null(), others).alias(series.name)
    if series.dtype.is_nested() or series.dtype == pl.Object:
        raise DataError(
            f"column '{series.name}' should hold labels, but its cells are {series.dtype}; give one word or number a row"
        )
    text = series.cast(pl.String).str.strip_chars().str.replace(r"^([+-]?\d+)\.0+$", "${1}")
    return text.zip_with((text != "").fill_null(False), pl.Series([None], dtype=pl.String))


def as_label(value: object) -> str:
    """One label as the columns' labels are written: 1.0 is "1", True is "1", blanks at the ends are gone."""
    found: str | None = as_labels(pl.Series([value], strict=False))[0]
    return "" if found is None else found


def in_order(labels: pl.Series) -> tuple[str, ...]:
    """The distinct labels: by value if all are numbers, else by text."""
    found = labels.drop_nulls().unique().to_list()
    numbers = pl.Series(found, dtype=pl.String).cast(pl.Float64, strict=False)
    if found and numbers.null_count() == 0:
        return tuple(label for _, label in sorted(zip(numbers.to_list(), found, strict=True)))
    return tuple(sorted(found))


@dataclass(frozen=True)
class ClassCodec:
    """Codes labels as class numbers and back. `classes` is empty until fitted or given.

    Labels that the training rows do not have are treated as missing targets and counted by `notes`; where `positive` names the
    labels that mean yes, every other label means no. counts: [C] training rows of each class, whatever their weight; empty until fitted.
    values: [B] int64, or [B] float 0/1 when `binary` (then class 1 is the positive one).

    >>> codec = ClassCodec("size", ("size",)).fit(pl.DataFrame({"size": ["10", " 9 ", None, "9.0"]}))
    >>> codec.classes, codec.encode(pl.DataFrame({"size": [9, 10, 11]})).present.tolist()
    (('9', '10'), [True, True, False])
    """

    task: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    binary: bool = False
    positive: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        return 1 if self.binary else len(self.classes)

    def fit(self, frame: pl.DataFrame) -> ClassCodec:
        """The codec with the classes of these rows. Raises DataError where they cannot be what the task's kind says."""
        found = self._fitted(frame)
        field = found.encode(frame)
        counts = torch.bincount(field.values[field.present].long(), minlength=len(found.classes))
        return replace(found, counts=tuple(counts.tolist()))

    def _fitted(self, frame: pl.DataFrame) -> ClassCodec:
        labels = as_labels(frame[self.columns[0]])
        found = in_order(labels)
        where = f"task '{self.task}' (column '{self.columns[0]}')"
        if not found:
            raise DataError(f"{where}: expected labels in the training rows, found none; check the column or the split")
        if self.classes and not self.binary:
            strange = [label for label in found if label not in self.classes]
            if strange:
                raise DataError(
                    f"{where}: the data hold labels {_listed(strange)} that are not among the given classes "
                    f"{_listed(self.classes)}; name all of them under classes:, or leave it out and they are found"
                )
            return self
        if len(found) == 1:
            raise DataError(
                f"{where}: expected at least two classes in the training rows, found only '{found[0]}' "
                f"({len(labels)} rows); check the column, the split or the filter"
            )
        if not self.binary:
            if len(found) > max(50, len(labels) // 2):
                raise DataError(
                    f"{where}: {len(found)} distinct labels in {len(labels)} training rows are too many classes; is this a number? kind: regression"
                )
            return replace(self, classes=found)
        if self.positive:
            absent = [label for label in self.positive if label not in found]
            if absent:
                guess = nearest(absent[0], found)
                raise DataError(
                    f"{where}: positive label '{absent[0]}' is not among the labels of the training rows"
                    f"{f'; did you mean {guess!r}?' if guess else ''} Labels: {_listed(found)}"
                )
            rest = tuple(label for label in found if label not in self.positive)
            if not rest:
                raise DataError(f"{where}: every label is named as positive ({_listed(found)}); leave at least one out")
            yes = " or ".join(self.positive)
            return replace(self, classes=(rest[0] if len(rest) == 1 else f"not {yes}", yes))
        if len(found) > 2:
            raise DataError(
                f"{where}: kind binary expects two classes, found {len(found)}: {_listed(found)}; "
                f"use kind: {_other_kind(found)}, or name under positive: the labels that mean yes"
            )
        return replace(self, classes=_negative_first(found))

    def encode(self, frame: pl.DataFrame) -> Field:
        """Class numbers [B]; rows without a label, or with one the classes do not have, are not present. Raises DataError before `fit`."""
        if not self.classes:
            raise DataError(
                f"task '{self.task}': its classes are not known yet; fit the codec on the training rows first"
            )
        labels = as_labels(frame[self.columns[0]])
        if self.positive:
            codes = labels.is_in(list(self.positive)).cast(pl.Int64)
        else:
            codes = labels.replace_strict(
                list(self.classes), list(range(len(self.classes))), default=None, return_dtype=pl.Int64
            )
        present = torch.from_numpy(codes.is_not_null().to_numpy().copy())
        values = torch.from_numpy(codes.fill_null(0).to_numpy().astype(np.int64))
        return Field(values.float() if self.binary else values, present)

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """What was not understood in these rows: labels that no training row has."""
        if self.positive:
            return []
        labels = as_labels(frame[self.columns[0]]).drop_nulls()
        strange = labels.filter(~labels.is_in(list(self.classes)))
        if strange.is_empty():
            return []
        names = _listed(strange.unique(maintain_order=True).to_list())
        return [
            f"task '{self.task}': {len(strange)} rows have labels that no training row has ({names}); they count as missing"
        ]

    def labels(self, codes: Tensor) -> list[str]:
        """[N] class numbers as labels."""
        return [self.classes[code] for code in codes.tolist()]

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {
            "task": self.task,
            "columns": list(self.columns),
            "classes": list(self.classes),
            "binary": self.binary,
            "positive": list(self.positive),
            "counts": list(self.counts),
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> ClassCodec:
        """The codec `to_json` was asked of."""
        return ClassCodec(
            stored["task"],
            tuple(stored["columns"]),
            tuple(stored["classes"]),
            stored["binary"],
            tuple(stored["positive"]),
            tuple(stored.get("counts", ())),
        )


NEGATIVE_WORDS = ("0", "-1", "no", "n", "false", "f", "negative", "neg", "absent", "healthy", "normal", "none", "bad")


def _negative_first(found: tuple[str, ...]) -> tuple[str, ...]:
    """Two labels, the negative one first: known words decide, else the order of values or of the alphabet."""
    first, second = found
    negative = [label.lower() in NEGATIVE_WORDS for label in found]
    return (second, first) if negative == [False, True] else (first, second)


def _other_kind(labels: Sequence[str]) -> str:
    """What a target with these labels is if it is not binary: many different numbers are a number."""
    numbers = pl.Series(labels, dtype=pl.String).cast(pl.Float64, strict=False)
    return "regression" if len(labels) > 20 and numbers.null_count() == 0 else "multiclass"


def _listed(labels: Any) -> str:
    names = [f"'{label}'" for label in labels]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
