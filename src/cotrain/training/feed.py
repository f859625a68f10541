"""Steps from whatever holds the data: every epoch an iterator of steps, each a list of Batches, one a source.

Accepted are: a function epoch -> iterable; an iterable that can be gone through again (a list, a DataLoader); an iterator, for one
epoch; one Batch or one pair (x, {task: y}) that holds all rows. Items are Batches, lists of Batches, or pairs.
A function that also has `rows` and `of_size(size)`, the same rows in batches of another size, lets the size be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from cotrain.core.errors import DataError, unknown
from cotrain.core.fields import Batch, Field
from cotrain.core.randomness import generator
from cotrain.data.sample import EncodedData
from cotrain.training.ahead import ahead

Batches = Iterable[Any] | Callable[[int], Iterable[Any]] | Batch
"""What `Trainer.fit` and `evaluate` accept as data."""


class Feed:
    """The steps of each epoch, in an order that depends on (seed, epoch) alone, so that a resumed run meets the same rows.

    What an iterable draws from torch's global generator (a DataLoader's shuffling, a transform) is drawn from a stream of its own.
    A source that draws from elsewhere (numpy's or Python's global generator) is repeated only as well as it repeats itself.
    """

    def __init__(
        self,
        source: Batches,
        *,
        tasks: Iterable[str],
        seed: int = 0,
        size: int = 512,
        shuffle: bool = True,
        workers: int = 0,
    ) -> None:
        self.tasks, self.seed, self.size, self.shuffle, self.workers = tuple(tasks), seed, size, shuffle, workers
        self.source: Any = source
        self.rows: int | None = getattr(source, "rows", None) if hasattr(source, "of_size") else None
        """How many rows there are, where batches of any size can be made of them; None where they come ready made."""
        if isinstance(source, Batch) or _is_pair(source):
            whole = self._batch(source)
            self.source, self.rows = self._whole(whole), len(whole)
        elif not callable(source) and not isinstance(source, Iterable):
            raise DataError(
                f"data must be an iterable of Batch or (x, {{task: y}}), or a function epoch -> iterable; got {type(source).__name__}"
            )

    @property
    def repeatable(self) -> bool:
        """Whether a second epoch can be had: an iterator is used up by the first."""
        return callable(self.source) or not isinstance(self.source, Iterator)

    def once_more(self, epochs: int) -> None:
        """Raises DataError, with the reason, if `epochs` passes cannot be had."""
        if epochs > 1 and not self.repeatable:
            raise DataError(
                f"{epochs} epochs need data that can be gone through again, got a {type(self.source).__name__} (it is used up by the "
                "first); hand in a list, a DataLoader or a function epoch -> iterable, or set epochs to 1"
            )

    def resize(self, size: int) -> None:
        """Batches of another size from now on, where `rows` says that they can be had."""
        self.size = size
        if hasattr(self.source, "of_size"):
            self.source = self.source.of_size(size)

    def one_of(self, size: int) -> list[Batch]:
        """A first step of that size; the feed itself stays as it is."""
        source = self.source.of_size(size) if hasattr(self.source, "of_size") else self.source
        before, self.size = self.size, size
        try:
            return self._step(next(iter(source(0))))
        finally:
            self.size = before

    def __len__(self) -> int:
        """Steps in an epoch, where the source knows its length; else TypeError, as for any iterable."""
        return len(self.source)

    def epoch(self, epoch: int, *, skip: int = 0) -> Iterator[list[Batch]]:
        """The steps of one epoch after the first `skip`."""
        if callable(self.source):
            steps = islice(map(self._step, self.source(epoch)), skip, None)
            return ahead(steps, self.workers) if self.workers else steps
        return map(self._step, islice(self._drawn_apart(epoch), skip, None))

    def peek(self, steps: int) -> list[list[Batch]]:
        """The first steps of epoch 0; an iterator gets them back."""
        first = list(islice(self.epoch(0), steps))
        if not self.repeatable:
            self.source = _chained(first, self.source)
        if not first:
            raise DataError("data must hold at least one batch, got none; is the split empty?")
        return first

    def _drawn_apart(self, epoch: int) -> Iterator[Any]:
        inside = generator(self.seed, "feed", epoch).get_state()
        iterator: Iterator[Any] | None = None
        while True:
            outside = torch.get_rng_state()
            torch.set_rng_state(inside)
            try:
                iterator = iter(self.source) if iterator is None else iterator
                item = next(iterator)
            except StopIteration:
                return
            finally:
                inside = torch.get_rng_state()
                torch.set_rng_state(outside)
            yield item

    def _whole(self, rows: Batch) -> Callable[[int], Iterator[Batch]]:
        every = torch.arange(len(rows))
        data = EncodedData(rows.inputs, rows.targets, splits={"all": every}, weight=rows.weight, source=rows.source)
        return lambda epoch: data.batches("all", self.size, seed=self.seed, epoch=epoch, shuffle=self.shuffle)

    def _step(self, item: Any) -> list[Batch]:
        if isinstance(item, Batch):
            return [item]
        if _is_pair(item):
            return [self._batch(item)]
        if isinstance(item, Sequence) and item and all(isinstance(one, Batch) for one in item):
            return list(item)
        raise DataError(
            f"one step must be a Batch, a list of Batches or a pair (x, {{task: y}}), got {_shown(item)}; "
            "wrap the targets in a dict named by task"
        )

    def _batch(self, item: Any) -> Batch:
        if isinstance(item, Batch):
            return item
        x, y = item
        inputs = x if isinstance(x, Mapping) else {"x": x}
        for task in y:
            if task not in self.tasks:
                raise DataError(unknown("task among the targets", str(task), self.tasks))
        batch = Batch(
            {name: Field.dense(torch.as_tensor(one)) for name, one in inputs.items()},
            {task: target_field(torch.as_tensor(one)) for task, one in y.items()},
        )
        batch.check()
        return batch


def target_field(values: Tensor) -> Field:
    """A target of plain numbers: NaN means missing, and nothing else does.

    >>> field = target_field(torch.tensor([1.0, float("nan")]))
    >>> field.values.tolist(), field.present.tolist()
    ([1.0, 0.0], [True, False])
    """
    if not values.is_floating_point():
        return Field.dense(values)
    held = ~values.isnan()
    if bool(held.all()):
        return Field.dense(values)
    filled = torch.where(held, values, values.new_zeros(()))
    if values.dim() == 1:
        return Field(filled, held)
    present = held.flatten(1).any(1)
    return Field(filled, present, None, held)


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2 and isinstance(item[1], Mapping)


def _chained(first: Sequence[Any], rest: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from rest


def _shown(item: Any) -> str:
    if isinstance(item, (tuple, list)):
        return f"{type(item).__name__} of ({', '.join(type(one).__name__ for one in item[:4])})"
    return type(item).__name__
