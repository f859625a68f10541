"""How many CPU threads a network is worth: threads that wait for each other cost more than a small network gains by them.

A setting of the whole process, put back when training ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch

from cotrain.core.fields import Batch
from cotrain.model.compose import Model
from cotrain.training.cost import cost

Threads = int | Literal["auto"] | None

SMALL = 1e8
"""FLOPs of a training step below which one thread is used: about two milliseconds of one core (benchmarks/threads.py)."""


def worth(model: Model, batches: Sequence[Batch], threads: Threads) -> int:
    """The number of threads for steps on batches like these; "auto" is one for small steps, else torch's own number, as None is.

    A step is counted as three forward passes.
    """
    if threads != "auto":
        return torch.get_num_threads() if threads is None else threads
    if next(model.parameters()).device.type != "cpu":
        return torch.get_num_threads()
    rows = sum(len(batch) for batch in batches)
    return 1 if 3 * rows * cost(model, batches)["flops_per_row"] < SMALL else torch.get_num_threads()


@contextmanager
def threads_put_back() -> Iterator[None]:
    """However many threads the block sets torch to, the process has its own number again afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
