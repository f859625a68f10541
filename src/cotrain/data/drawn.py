"""What training, scoring and comparing may ask of encoded rows, wherever they lie: in memory, or in shards on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor

from cotrain.core.fields import Batch, Field


@runtime_checkable
class LazyField(Protocol):
    """A field whose values are made when rows are taken: pictures that are too many to be kept decoded.

    present: [N], as of a `Field`. select: the field of some rows. notes: what was met while values were made.
    """

    @property
    def present(self) -> Tensor: ...

    def __len__(self) -> int: ...

    def select(self, rows: Tensor) -> Field: ...

    def notes(self) -> list[str]: ...


class RowData(Protocol):
    """Encoded rows of one source, split by split; `EncodedData` in memory, `ShardedData` on disk.

    source: its name. streamed: the rows lie on disk, and whoever wants all of them at once holds what may not fit into memory.
    counts: {split: rows}. task_names: tasks with targets here.
    """

    source: str

    @property
    def streamed(self) -> bool: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    @property
    def task_names(self) -> tuple[str, ...]: ...

    def count(self, split: str) -> int:
        """Rows of a split. Raises DataError naming the splits there are."""
        ...

    def steps(self, split: str, size: int, *, drop_last: bool = False) -> int:
        """How many batches of `size` an epoch over a split has."""
        ...

    def batches(
        self,
        split: str,
        size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """One epoch over a split, in an order that is a pure function of (seed, epoch)."""
        ...

    def first(self, split: str, rows: int) -> Batch:
        """The first rows of a split, at most so many: enough to build a network on."""
        ...

    def sample(self, split: str) -> Batch:
        """Rows that stand for the whole split: all of them in memory; some of them, drawn at random, of a stream."""
        ...

    def whole(self, split: str) -> Batch:
        """Every row of a split as one batch, in the order of `batches` without shuffling; of a stream, memory grows with it. Pictures are left
        blank.
        """
        ...

    def for_tasks(self, names: Collection[str]) -> RowData:
        """The same rows with the targets of these tasks only; rows with a label for none of them leave the splits."""
        ...

    def watched(self, split: str) -> RowData:
        """The rows that choose when to stop: all of the split in memory, the first shards of a stream."""
        ...
