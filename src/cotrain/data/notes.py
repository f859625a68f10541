"""Sentences said again and again while a table is gone through piece by piece, each kept once."""

from __future__ import annotations

import re
from collections.abc import Sequence

_VARYING = re.compile(r"\d+|\([^()]*\)")


class Notes:
    """Notes that differ in nothing but figures and examples are one; `lines` says how many pieces said so.

    >>> notes = Notes()
    >>> notes.add(["column 'x': 3 cells never seen in training ('a')"])
    >>> notes.add(["column 'x': 5 cells never seen in training ('b')"])
    >>> notes.lines()
    ["column 'x': 3 cells never seen in training ('a') (said of 2 parts of the table; the figures are those of the first)"]
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._times: dict[str, int] = {}

    def add(self, notes: Sequence[str]) -> None:
        """Keep what is new."""
        for note in notes:
            key = _VARYING.sub("#", note)
            self._first.setdefault(key, note)
            self._times[key] = self._times.get(key, 0) + 1

    def lines(self) -> list[str]:
        """Every note once, in the order they first came."""
        return [
            note
            if self._times[key] == 1
            else f"{note} (said of {self._times[key]} parts of the table; the figures are those of the first)"
            for key, note in self._first.items()
        ]
