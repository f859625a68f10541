"""Careful look-ups in JSON that somebody else wrote: what is not as expected becomes missing and leaves a note, never a crash."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclass
class Notes:
    """What was found wrong while reading, in order, each sentence once."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        if sentence not in self.sentences:
            self.sentences.append(sentence)


@dataclass(frozen=True)
class Node:
    """One JSON value with the file and the path it was found at, so that a note can say where.

    >>> node = Node({"rows": "many"}, "data.json", "", Notes())
    >>> node.number("rows") is None, node.notes.sentences
    (True, ["data.json: rows should be a number, is 'many'; shown as missing"])
    """

    value: Json
    file: str
    path: str
    notes: Notes

    def __bool__(self) -> bool:
        return bool(self.value)

    def at(self, key: str) -> Node:
        """The value under a key; a missing key is null."""
        inner = self.value.get(key) if isinstance(self.value, dict) else None
        return Node(inner, self.file, f"{self.path}.{key}" if self.path else key, self.notes)

    def number(self, key: str) -> float | None:
        """A finite number, or None where it is missing, null, NaN or infinite."""
        return self.at(key).as_number()

    def whole(self, key: str) -> int | None:
        """A number without fraction, or None."""
        value = self.number(key)
        return None if value is None else int(value)

    def text(self, key: str) -> str | None:
        """A word or sentence; numbers and truth values are written out."""
        return self.at(key).as_text()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of words; one bare word is a list of one."""
        inner = self.at(key)
        if isinstance(inner.value, str):
            return (inner.value,)
        return tuple(text for one in inner.items() if (text := one.as_text()) is not None)

    def numbers(self, key: str) -> dict[str, float | None]:
        """{name: number or None} under a key."""
        inner = self.at(key)
        found = inner.value if isinstance(inner.value, dict) else {}
        quick = {name: one for name, one in found.items() if isinstance(one, float) and math.isfinite(one)}
        if found and len(quick) == len(found):
            return dict(quick)
        return {name: node.as_number() for name, node in inner.entries()}

    def flag(self, key: str) -> bool | None:
        """true or false, or None where it is missing."""
        value = self.at(key)
        if value.value is None or isinstance(value.value, bool):
            return value.value
        value._wrong("true or false")
        return None

    def as_number(self) -> float | None:
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self._wrong("a number")
            return None
        try:
            value = float(self.value)
        except OverflowError:
            return None
        return value if math.isfinite(value) else None

    def as_text(self) -> str | None:
        if self.value is None or isinstance(self.value, str):
            return self.value
        if isinstance(self.value, (bool, int, float)):
            return json.dumps(self.value)
        self._wrong("a word")
        return None

    def entries(self) -> Iterator[tuple[str, Node]]:
        """(key, value) of an object; nothing where there is none."""
        if isinstance(self.value, dict):
            for key in self.value:
                yield key, self.at(key)
        elif self.value is not None:
            self._wrong("an object")

    def items(self) -> Iterator[Node]:
        """The values of a list; nothing where there is none."""
        if isinstance(self.value, list):
            for index, one in enumerate(self.value):
                yield Node(one, self.file, f"{self.path}[{index}]", self.notes)
        elif self.value is not None:
            self._wrong("a list")

    def _wrong(self, expected: str) -> None:
        came = repr(self.value)
        came = came if len(came) <= 40 else came[:39] + "…"
        self.notes.add(f"{self.file}: {self.path or 'the file'} should be {expected}, is {came}; shown as missing")


def read_json(path: Path, notes: Notes) -> Node:
    """The content of a JSON file; an absent file is null, a damaged one is null with a note."""
    nothing = Node(None, path.name, "", notes)
    if not path.exists():
        return nothing
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        notes.add(f"{path.name} cannot be read ({error}); what it holds is left out of this page")
        return nothing
    return Node(value, path.name, "", notes)


def read_lines(path: Path, notes: Notes) -> Iterator[Node]:
    """The objects of a JSON-lines file, one a line; a damaged line is skipped with a note."""
    if not path.exists():
        return
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (ValueError, OSError) as error:
        notes.add(f"{path.name} cannot be read ({error}); the curves are left out of this page")
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            notes.add(f"{path.name}: line {number} is no whole JSON object and was skipped")
            continue
        yield Node(value, path.name, f"line {number}", notes)
