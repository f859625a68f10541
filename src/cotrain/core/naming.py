"""Names of tasks, sources and inputs as keys of an `nn.ModuleDict`, which allows neither dots nor its own attributes' names."""

from __future__ import annotations

PREFIX = "of_"
"""No attribute of a torch module begins so: a task may be called `values`, `training` or `modules`."""


def slot(name: str) -> str:
    """A module key for any name; `unslot` is its inverse.

    >>> slot("values"), slot("a.b"), unslot(slot("50%.x"))
    ('of_values', 'of_a%2Eb', '50%.x')
    """
    return PREFIX + name.replace("%", "%25").replace(".", "%2E")


def unslot(key: str) -> str:
    """The name a module key stands for."""
    return key.removeprefix(PREFIX).replace("%2E", ".").replace("%25", "%")
