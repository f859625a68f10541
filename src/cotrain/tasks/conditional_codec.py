"""Labels of a task that is defined where others hold, joined with theirs.

Shapes: B rows. values [B, 2]: the joint event (the task and all its parents), and whether all parents hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from cotrain.core.fields import Field
from cotrain.tasks.labels import ClassCodec


def joint_target(own: Tensor, *parents: Tensor) -> Field:
    """The target of a conditional task from its own labels and its parents', nearest first: each [B], 1, 0, or NaN where missing.

    A parent that is no makes the joint event a no, whatever the task's own label. A yes of the task or of a nearer parent implies the parents
    whose labels are missing. Rows that leave the joint event open are not present.

    >>> nan = float("nan")
    >>> field = joint_target(torch.tensor([1.0, 0.0, nan, nan, nan, 1.0]), torch.tensor([1.0, 1.0, 0.0, 1.0, nan, nan]))
    >>> field.values.tolist(), field.present.tolist()
    ([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]], [True, True, True, False, False, True])
    """
    yes, no = own == 1, own == 0
    refused = torch.stack([parent == 0 for parent in parents]).any(0) if parents else torch.zeros_like(yes)
    holds = ~refused & (yes | (parents[0] == 1)) if parents else torch.ones_like(yes)
    event = yes & ~refused
    return Field(torch.stack([event, holds], 1).float(), refused | no | yes)


@dataclass(frozen=True)
class ConditionalCodec:
    """Codes a task's labels together with its parents'. own: of the task itself; parents: nearest first, none while they are unknown.

    reads: the parents' columns, which belong to the parents' tasks and are no columns of this one.
    """

    own: ClassCodec
    parents: tuple[ClassCodec, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.own.columns

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(column for parent in self.parents for column in parent.columns)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.own.classes

    @property
    def outputs(self) -> int:
        return 1

    def fit(self, frame: pl.DataFrame) -> ConditionalCodec:
        """The codec with the classes of these rows, its own and its parents'."""
        return ConditionalCodec(self.own.fit(frame), tuple(parent.fit(frame) for parent in self.parents))

    def encode(self, frame: pl.DataFrame) -> Field:
        """The joint labels of these rows; raises DataError before `fit`."""
        return joint_target(*(_labels(codec, frame) for codec in (self.own, *self.parents)))

    def notes(self, frame: pl.DataFrame) -> list[str]:
        """Labels that no training row has, and rows that say yes where a parent says no."""
        own, *parents = (_labels(codec, frame) for codec in (self.own, *self.parents))
        at_odds = sum(int(((own == 1) & (parent == 0)).sum()) for parent in parents[:1])
        said = (
            [
                f"task '{self.own.task}': {at_odds} rows say yes although '{self.parents[0].task}', which it is given, says no; "
                "they count as no"
            ]
            if at_odds
            else []
        )
        return [*self.own.notes(frame), *said]

    def labels(self, codes: Tensor) -> list[str]:
        """[N] class numbers as labels."""
        return self.own.labels(codes)

    def to_json(self) -> dict[str, Any]:
        """The codec as plain JSON; `from_json` is its inverse."""
        return {"own": self.own.to_json(), "parents": [parent.to_json() for parent in self.parents]}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> ConditionalCodec:
        """The codec `to_json` was asked of."""
        parents = tuple(ClassCodec.from_json(parent) for parent in stored["parents"])
        return ConditionalCodec(ClassCodec.from_json(stored["own"]), parents)


def _labels(codec: ClassCodec, frame: pl.DataFrame) -> Tensor:
    """[B] 1, 0 or NaN."""
    field: Field = codec.encode(frame)
    return torch.where(field.present, field.values.float(), torch.nan)
