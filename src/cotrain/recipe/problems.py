"""Problems of a config, each with the place it comes from, gathered so that all are said at once.

A problem names the file, the line and column, the path of the key (`train.optimizer.lr`) and a sentence in three parts: what was
expected, what came, what to do. A config that came from Python has no file; its problems carry the path alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cotrain.core.errors import ConfigError

Keys = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists, from the outside in."""


def dotted(keys: Keys) -> str:
    """The way to a value as a person writes it.

    >>> dotted(("inputs", "rest", "columns", 0))
    'inputs.rest.columns[0]'
    """
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


@dataclass(frozen=True)
class Place:
    """A line and a column of a file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One finding. `path`: dotted keys, empty for the whole file; `file`, `line`, `column`: None where there is no file.

    >>> str(Problem("train.epochs", "expected a whole number, got 'many'", file="a.yaml", line=4, column=11))
    "a.yaml:4:11: train.epochs: expected a whole number, got 'many'"
    """

    path: str
    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def place(self) -> str:
        """Where, as editors and terminals link it: `file:line:column`, as much of it as is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.path, self.message) if part)


@dataclass(frozen=True)
class Origin:
    """Where the values of a config were written. `keys` and `values` say where each key and each value begins."""

    file: str | None = None
    keys: Mapping[Keys, Place] = field(default_factory=dict)
    values: Mapping[Keys, Place] = field(default_factory=dict)

    def problem(self, keys: Keys, message: str, *, at_key: bool = False) -> Problem:
        """The problem at `keys`, with the place of its value (or of its key), or of the nearest thing around it that is known."""
        near = keys
        while near and near not in self.values:
            near = near[:-1]
        whole = at_key or near != keys or any(key[:-1] == keys for key in self.keys)  # a block is pointed at by its key
        first, second = (self.keys, self.values) if whole else (self.values, self.keys)
        place = first.get(near, second.get(near))
        line, column = (place.line, place.column) if place else (None, None)
        return Problem(dotted(keys), message, self.file, line, column)

    def refusal(self, keys: Keys, message: str) -> ConfigProblems:
        """An error that holds one problem, at one value."""
        return ConfigProblems([self.problem(keys, message)], self.file or "the config")

    def ordered(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems in the order of the file, each sentence once."""
        return sorted(dict.fromkeys(problems), key=lambda problem: (problem.line or 0, problem.column or 0))


class ConfigProblems(ConfigError):  # noqa: N818  (it holds several)
    """A config cannot be used as it stands; `problems` holds everything that was found."""

    def __init__(self, problems: Sequence[Problem], what: str = "the config") -> None:
        many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{what} has {many}:", *(f"  {problem}" for problem in problems)]))
        self.problems = tuple(problems)
