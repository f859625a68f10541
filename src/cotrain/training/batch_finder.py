"""A batch size from a measurement: doubled as long as that brings at least a tenth more rows a second.

Candidates are the powers of two from 64 to 8192 that leave an epoch at least 40 steps, since fewer, larger steps learn less from as many
rows; of fewer than 40 x 128 rows nothing is measured, and the size follows from the rows alone (`size_for`). A size that does not fit into
memory ends the search. Times differ from run to run, and so may the size found: it is stored with the training, and a resumed one keeps
it; to have it again elsewhere, write the number into the config.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch
from cotrain.core.randomness import untouched
from cotrain.model.compose import Model
from cotrain.training.evaluate import meet
from cotrain.training.feed import Batches, Feed
from cotrain.training.optimise import NamedOptimizer
from cotrain.training.settings import TrainSettings, settings_from
from cotrain.training.still import trained

LEAST, MOST, STEPS = 64, 8192, 40
GAIN = 1.1
"""A doubled batch must be so many times as fast, in rows a second."""
TIMES = 3
"""Steps timed of each size, after one that is not."""


@dataclass(frozen=True)
class SizeFound:
    """size: rows of a batch. speeds: {size: rows a second} of those measured, empty where the size follows from the rows alone."""

    size: int
    speeds: Mapping[int, float]


def size_for(rows: int, accumulate: int = 1) -> int:
    """The largest power of two from 16 to 8192 that leaves `rows` at least 40 steps an epoch; 16 for very few rows.

    >>> [size_for(rows) for rows in (100, 2_000, 20_000, 10**6)]
    [16, 32, 256, 8192]
    """
    size = 16
    while size < MOST and 2 * size * STEPS * accumulate <= rows:
        size *= 2
    return size


def find_batch_size(
    model: Model,
    batches: Batches,
    *,
    train: TrainSettings | Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> SizeFound:
    """The batch size for a network on these rows (one Batch or pair that holds them all); nothing of the network is changed.

    Raises ConfigError for batches that come ready made.

    >>> from cotrain.encoders import MLP
    >>> from cotrain.tasks import Regression
    >>> x = torch.zeros(2000, 1)
    >>> find_batch_size(Model(encoder=MLP(widths=[8]), tasks=[Regression("y")]), (x, {"y": x[:, 0]})).size
    32
    """
    meet(model, batches)
    feed = Feed(batches, tasks=model.tasks, shuffle=False)
    return measure_sizes(model, feed, settings_from(train), clock=clock)


def measure_sizes(
    model: Model,
    feed: Feed,
    settings: TrainSettings,
    *,
    ready: Callable[[Batch], Batch] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    seconds: float | None = None,
) -> SizeFound:
    """`find_batch_size` on a feed whose batches can be of any size. ready: brings a batch to the network's device.

    seconds: how long it may take, None for as long as it takes; a size that would take it beyond is not measured.
    """
    rows = feed.rows
    if rows is None:
        raise ConfigError(
            "train.batch_size: auto needs all rows at hand, but these batches come ready made; give the rows themselves, or a number"
        )
    largest = size_for(rows, settings.accumulate)
    if largest <= LEAST:
        return SizeFound(largest, {})
    device = next(model.parameters()).device
    ready = ready or (lambda batch: batch.to(device))
    speeds: dict[int, float] = {}
    best, size = LEAST, LEAST
    began = last = 0.0 if seconds is None else clock()
    while size <= largest:
        if seconds is not None:
            now = clock()
            if (
                size > LEAST and (now - began) + 2 * (now - last) > seconds
            ):  # the next one takes twice as long as the last
                break
            last = now
        try:
            speeds[size] = _speed(model, [ready(one) for one in feed.one_of(size)], settings, clock)
        except (MemoryError, torch.OutOfMemoryError):
            break
        if size > LEAST and speeds[size] < GAIN * speeds[best]:
            break
        best, size = size, 2 * size
    return SizeFound(best, speeds)


def _speed(model: Model, step: Sequence[Batch], settings: TrainSettings, clock: Callable[[], float]) -> float:
    """Rows a second of whole training steps on a copy of the network, by the median."""
    taken = []
    with untouched():
        probe = copy.deepcopy(model).train()
        optimizer = NamedOptimizer(probe, replace(settings.optimizer, lr=1e-6))
        for turn in range(TIMES + 1):
            began = clock()
            torch.autograd.backward(tuple(trained(probe.losses(step)).values()))
            optimizer.step()
            optimizer.clear()
            if next(probe.parameters()).device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                taken.append(clock() - began)
    return sum(len(batch) for batch in step) / max(statistics.median(taken), 1e-9)
