"""The rows of several sources as one: what training, scoring and comparing ask of rows, asked of each source."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from cotrain.core.errors import DataError, unknown
from cotrain.core.fields import Batch
from cotrain.data.drawn import RowData


class SeveralData:
    """Encoded rows of two sources or more: {source: RowData}. Rows of different sources are never in one batch.

    Of one source alone it is that source's own data: `for_tasks` of a task gives just these.
    """

    def __init__(self, parts: Mapping[str, RowData]) -> None:
        self.parts = dict(parts)
        self.source = ", ".join(self.parts)

    @property
    def streamed(self) -> bool:
        """Whether the rows of any source lie on disk."""
        return any(one.streamed for one in self.parts.values())

    @property
    def counts(self) -> dict[str, int]:
        """{split: rows of all sources}."""
        names = dict.fromkeys(split for one in self.parts.values() for split in one.counts)
        return {split: sum(one.counts.get(split, 0) for one in self.parts.values()) for split in names}

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks with targets in any source."""
        return tuple(dict.fromkeys(name for one in self.parts.values() for name in one.task_names))

    def count(self, split: str) -> int:
        """Rows of a split, of all sources. Raises DataError naming the splits there are."""
        if split not in self.counts:
            raise DataError(unknown("split", split, list(self.counts)))
        return self.counts[split]

    def steps(self, split: str, size: int, *, drop_last: bool = False) -> int:
        """Steps of an epoch, each with a batch of every source: as many as the longest source has batches."""
        return max(one.steps(split, size, drop_last=drop_last) for one in self.parts.values() if split in one.counts)

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
        """One epoch over every source, one source after the other; `cotrain.data.sample.several` draws them side by side."""
        for one in self.parts.values():
            if one.counts.get(split):
                yield from one.batches(split, size, seed=seed, epoch=epoch, shuffle=shuffle, drop_last=drop_last)

    def first(self, split: str, rows: int) -> Batch:
        """Raises DataError: rows of several sources are no single batch."""
        raise self._no_batch("first")

    def sample(self, split: str) -> Batch:
        """Raises DataError: rows of several sources are no single batch."""
        raise self._no_batch("sample")

    def whole(self, split: str) -> Batch:
        """Raises DataError: rows of several sources are no single batch."""
        raise self._no_batch("whole")

    def _no_batch(self, asked: str) -> DataError:
        return DataError(
            f"`{asked}` gives one batch, and these are rows of several sources ({self.source}); ask each of them"
        )

    def for_tasks(self, names: Collection[str]) -> RowData:
        """The rows of these tasks' sources with their targets only; those of the source itself where that is one."""
        kept = {}
        for source, one in self.parts.items():
            own = [name for name in one.task_names if name in names]
            if own:
                kept[source] = one.for_tasks(own)
        return next(iter(kept.values())) if len(kept) == 1 else SeveralData(kept)

    def watched(self, split: str) -> RowData:
        """The rows of every source that choose when to stop."""
        return SeveralData({source: one.watched(split) for source, one in self.parts.items()})


def sources_of(data: RowData) -> list[RowData]:
    """The sources one by one; rows of a single source are themselves.

    >>> import torch
    >>> from cotrain.core.fields import Field
    >>> from cotrain.data.sample import EncodedData
    >>> make = lambda name: EncodedData({"x": Field.dense(torch.zeros(2, 1))}, splits={"train": torch.arange(2)}, source=name)
    >>> [one.source for one in sources_of(SeveralData({"a": make("a"), "b": make("b")}))], len(sources_of(make("a")))
    (['a', 'b'], 1)
    """
    return list(data.parts.values()) if isinstance(data, SeveralData) else [data]
