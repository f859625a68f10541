"""Encoded rows and the batches drawn from them. Shuffling is a pure function of the seed and the epoch.

Rows N of the table, B of the batch. A batch costs one `index_select` per tensor and next to nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import generator
from cotrain.data.drawn import LazyField, RowData
from cotrain.data.lengths import by_length, lengths_of


class EncodedData:
    """Every row of one source, encoded, and which rows belong to which split.

    inputs {name: Field}, targets {task: Field} and weight [N] hold all N rows (they may lie in a memory-mapped file and are never
    written to); splits {name: [n] int64 row numbers}. An input may be a `LazyField`, whose values are made when a batch is drawn.

    >>> data = EncodedData({"x": Field.dense(torch.arange(4.0).unsqueeze(1))}, splits={"train": torch.tensor([0, 2, 3])})
    >>> [batch.row.tolist() for batch in data.batches("train", 2)]
    [[0, 2], [3]]
    """

    def __init__(
        self,
        inputs: Mapping[str, Field | LazyField],
        targets: Mapping[str, Field] | None = None,
        *,
        splits: Mapping[str, Tensor],
        weight: Tensor | None = None,
        source: str = "main",
    ) -> None:
        self.inputs, self.targets = dict(inputs), dict(targets or {})
        self.weight, self.source = weight, source
        self.splits = dict(splits)
        self._inputs = [_Taker(name, one) for name, one in self.inputs.items()]
        self._targets = [_Taker(name, one) for name, one in self.targets.items()]
        self._ones = torch.ones(0, dtype=torch.bool)
        self._lengths = lengths_of(self.inputs)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def lazy(self) -> dict[str, LazyField]:
        """{name: input} of those whose values are made when a batch is drawn."""
        return {name: one for name, one in self.inputs.items() if not isinstance(one, Field)}

    @property
    def longest(self) -> int:
        """The most values that the ragged inputs of a row hold together (words of its texts); 1 where none is ragged."""
        return 1 if self._lengths is None or not len(self) else int(self._lengths.max())

    def beside(self, more: Mapping[str, Field | LazyField], order: Sequence[str]) -> EncodedData:
        """The same with more inputs, all in the given order."""
        if not more:
            return self
        inputs = {**self.inputs, **more}
        ordered = {name: inputs[name] for name in order}
        return EncodedData(ordered, self.targets, splits=self.splits, weight=self.weight, source=self.source)

    def rows(self, split: str) -> Tensor:
        """[n] int64 row numbers of a split, rising. Raises DataError naming the splits there are."""
        try:
            return self.splits[split]
        except KeyError:
            raise DataError(unknown("split", split, list(self.splits))) from None

    @property
    def streamed(self) -> bool:
        """Never: all rows are at hand at once."""
        return False

    @property
    def counts(self) -> dict[str, int]:
        """{split: rows}."""
        return {split: len(rows) for split, rows in self.splits.items()}

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks with targets here."""
        return tuple(self.targets)

    def count(self, split: str) -> int:
        """Rows of a split. Raises DataError naming the splits there are."""
        return len(self.rows(split))

    def steps(self, split: str, size: int, *, drop_last: bool = False) -> int:
        """How many batches of `size` an epoch over a split has."""
        count = self.count(split)
        return count // size if drop_last else -(-count // size)

    def first(self, split: str, rows: int) -> Batch:
        """The first rows of a split, at most so many."""
        return self.batch(self.rows(split)[:rows])

    def sample(self, split: str) -> Batch:
        """Every row of a split: nothing need stand for another."""
        return self.whole(split)

    def whole(self, split: str) -> Batch:
        """Every row of a split as one batch. Pictures are left blank, [n, 0]: whoever wants all rows at once looks at targets and tables."""
        rows = self.rows(split)
        blank = {
            name: Field(one.present.new_empty(len(one), 0), one.present) if _is_pictures(one) else one
            for name, one in self.inputs.items()
        }
        return EncodedData(blank, self.targets, splits={}, weight=self.weight, source=self.source).batch(rows)

    def watched(self, split: str) -> EncodedData:
        """The same rows: all of a split choose when to stop."""
        return self

    def for_tasks(self, names: Collection[str]) -> EncodedData:
        """The same rows with the targets of these tasks only; rows with a label for none of them leave the splits."""
        if set(names) == set(self.targets):
            return self
        targets = {name: self.targets[name] for name in names}
        present = torch.stack([field.present for field in targets.values()]).any(0)
        splits = {split: rows[present[rows]] for split, rows in self.splits.items()}
        return EncodedData(self.inputs, targets, splits=splits, weight=self.weight, source=self.source)

    def batch(self, rows: Tensor) -> Batch:
        """The given rows ([B] int64), in that order."""
        if len(self._ones) != len(rows):
            self._ones = torch.ones(len(rows), dtype=torch.bool)
        ones = self._ones
        return Batch(
            {taker.name: taker.take(rows, ones) for taker in self._inputs},
            {taker.name: taker.take(rows, ones) for taker in self._targets},
            None if self.weight is None else self.weight.index_select(0, rows),
            rows,
            self.source,
        )

    def order(self, split: str, *, seed: int | None = None, epoch: int = 0, shuffle: bool = False) -> Tensor:
        """[n] the rows of a split in the order an epoch visits them. Raises ConfigError if asked to shuffle without a seed."""
        rows = self.rows(split)
        if not shuffle:
            return rows
        if seed is None:
            raise ConfigError(
                "shuffled batches need a seed, got none; give seed=0, so that the same order can be had again"
            )
        return rows[torch.randperm(len(rows), generator=generator(seed, "shuffle", self.source, epoch))]

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
        """One epoch over a split in batches of `size` rows (the last may be smaller, and is left out with `drop_last`).

        Shuffled rows that are ragged (texts) come with others of near length, `by_length`.
        """
        if size < 1:
            raise ConfigError(f"a batch size of at least 1 is expected, got {size}")
        order = self.order(split, seed=seed, epoch=epoch, shuffle=shuffle)
        if shuffle and seed is not None and self._lengths is not None:
            order = by_length(order, self._lengths[order], size, generator(seed, "lengths", self.source, epoch))
        if drop_last:
            order = order[: len(order) // size * size]
        for rows in torch.split(order, size) if len(order) else ():
            yield self.batch(rows)


def _is_pictures(one: Field | LazyField) -> bool:
    return not isinstance(one, Field) or one.values.dim() > 2


class _Taker:
    """Takes rows of one field; what is the same for every batch is looked up once."""

    __slots__ = ("field", "name", "whole")

    def __init__(self, name: str, one: Field | LazyField) -> None:
        self.name, self.field = name, one
        self.whole = bool(one.present.all())

    def take(self, rows: Tensor, ones: Tensor) -> Field:
        """The field of the given rows; `ones` stands for `present` where no row lacks the field."""
        one = self.field
        if not isinstance(one, Field) or one.offsets is not None:
            return one.select(rows)
        return Field(
            one.values.index_select(0, rows),
            ones if self.whole else one.present.index_select(0, rows),
            None,
            None if one.valid is None else one.valid.index_select(0, rows),
            None if one.weight is None else one.weight.index_select(0, rows),
        )


def several(
    sources: Sequence[RowData],
    split: str,
    sizes: int | Sequence[int],
    *,
    seed: int | None = None,
    epoch: int = 0,
    shuffle: bool = False,
) -> Iterator[list[Batch]]:
    """One epoch over several sources: each step gives a list with one batch from every source.

    An epoch is as long as the source with the most batches, which is seen exactly once; the others begin again when they are
    through, each time in a new order if shuffled. sizes: the batch size, or one a source.

    >>> make = lambda n, name: EncodedData(
    ...     {"x": Field.dense(torch.zeros(n, 1))}, splits={"train": torch.arange(n)}, source=name)
    >>> [[batch.row.tolist() for batch in step] for step in several([make(3, "a"), make(1, "b")], "train", 2)]
    [[[0, 1], [0]], [[2], [0]]]
    """
    each = [sizes] * len(sources) if isinstance(sizes, int) else list(sizes)
    if len(each) != len(sources):
        raise ConfigError(
            f"one batch size, or one a source, is expected; got {len(each)} sizes for {len(sources)} sources"
        )
    longest = max(source.steps(split, size) for source, size in zip(sources, each, strict=True))
    streams = [
        _endless(source, split, size, seed=seed, epoch=epoch, shuffle=shuffle)
        for source, size in zip(sources, each, strict=True)
    ]
    for _ in range(longest):
        yield [next(stream) for stream in streams]


def _endless(source: RowData, split: str, size: int, *, seed: int | None, epoch: int, shuffle: bool) -> Iterator[Batch]:
    """Epoch after epoch of one source; the rounds of one epoch are numbered so that no two epochs share an order."""
    if not source.steps(split, size):
        raise DataError(f"source '{source.source}' has no rows in its {split} split, so it cannot be drawn from")
    turn = 0
    while True:
        again = epoch if turn == 0 else -(epoch << 20) - turn
        yield from source.batches(split, size, seed=seed, epoch=again, shuffle=shuffle)
        turn += 1
