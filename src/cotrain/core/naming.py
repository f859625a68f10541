"""Names of tasks and sources as keys of an `nn.ModuleDict`, which allows neither dots nor its own methods' names."""

from __future__ import annotations


def slot(name: str) -> str:
    """A module key for any name; `unslot` is its inverse.

    >>> slot("values"), slot("a.b"), unslot(slot("50%.x"))
    ('_values', '_a%2Eb', '50%.x')
    """
    return "_" + name.replace("%", "%25").replace(".", "%2E")


def unslot(key: str) -> str:
    """The name a module key stands for."""
    return key[1:].replace("%2E", ".").replace("%25", "%")
