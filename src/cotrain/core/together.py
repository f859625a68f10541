"""Whether the losses of what is being computed go back through it in one pass, for their sum.

Where each task's gradient is to be seen on its own, what a task alone reaches must stay apart from what others reach, so layers work task
by task. Where only the sum is wanted, the same numbers may come from one product for all tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_once: ContextVar[bool] = ContextVar("cotrain_one_pass", default=False)


@contextmanager
def one_pass(once: bool = True) -> Iterator[None]:
    """While it lasts, layers may compute for all tasks in one product: one backward pass of a sum of the losses follows.

    The gradient of that sum is the same. Gradients of single losses would be right too, but every loss then reaches (with zeros) what
    belongs to other tasks alone, so it is not for losses whose gradients are compared or balanced. once: False changes nothing.

    >>> with one_pass():
    ...     goes_back_once()
    True
    >>> goes_back_once()
    False
    """
    token = _once.set(_once.get() or once)
    try:
        yield
    finally:
        _once.reset(token)


def goes_back_once() -> bool:
    """Whether one product for all tasks will do: inside `one_pass`."""
    return _once.get()
