"""Seeds of the libraries' generators: 32 bits, one for each purpose."""

from __future__ import annotations

from cotrain.core.randomness import derive


def seed32(seed: int, *purpose: str | int) -> int:
    """A seed below 2^32 for one purpose, the same on every machine.

    >>> seed32(0, "trial", 1) == seed32(0, "trial", 1), seed32(0, "trial", 1) == seed32(0, "trial", 2)
    (True, False)
    """
    return derive(seed, *purpose) & 0xFFFFFFFF
