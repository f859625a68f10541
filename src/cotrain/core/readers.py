"""Whose answers are read of what is being computed: a network of several sources, or of tasks with other inputs, works out every task's
features for rows that only some tasks are about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_readers: ContextVar[Collection[str] | None] = ContextVar("cotrain_readers", default=None)


@contextmanager
def read_by(tasks: Collection[str]) -> Iterator[None]:
    """While it lasts, figures of a forward pass (how a gate uses its experts) are kept of these tasks only.

    >>> with read_by(["age"]):
    ...     is_read("age"), is_read("pay")
    (True, False)
    >>> is_read("pay")
    True
    """
    token = _readers.set(tasks)
    try:
        yield
    finally:
        _readers.reset(token)


def is_read(task: str) -> bool:
    """Whether this task's answers are read; outside `read_by` every task's are."""
    readers = _readers.get()
    return readers is None or task in readers
