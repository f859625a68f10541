"""The one family of errors a user meets.

Every message has three parts: what was expected, what came, what to do about it. `problems` collects several findings so
that a config with five mistakes is answered once, with all five.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class CotrainError(Exception):
    """Base of everything cotrain raises on purpose."""


class ConfigError(CotrainError):
    """A setting is unknown, of the wrong type, out of range or contradicts another one."""


class DataError(CotrainError):
    """The data cannot be what the config says it is."""


class MissingExtraError(CotrainError):
    """An optional dependency is needed and absent."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'cotrain[{extra}]'")
        self.extra = extra


class RunError(CotrainError):
    """A run folder cannot be written, read or resumed."""


class StudyError(CotrainError):
    """The place where a study lives cannot be reached or read."""


class TrainingError(CotrainError):
    """Training cannot go on; the message names the task and the cause."""


class UnsupportedError(CotrainError):
    """An exact answer is impossible here; the message says why and what works instead."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known word that `name` probably meant, or None.

    >>> nearest("drop_out", ["dropout", "widths"])
    'dropout'
    >>> nearest("colour", ["dropout", "widths"]) is None
    True
    """
    choices = list(known)
    lowered = {choice.lower(): choice for choice in reversed(choices)}
    found = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


LISTED = 40
"""So many known words are listed; of more, the number is said."""


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """The sentence for an unknown word: what came, the nearest known one, the list.

    >>> unknown("sharing", "mmoee", ["hard", "mmoe"])
    "unknown sharing 'mmoee'; did you mean 'mmoe'? Known: hard, mmoe"
    """
    guess = nearest(name, known)
    hint = f"; did you mean '{guess}'?" if guess else "."
    rest = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"unknown {what} '{name}'{hint} Known: {', '.join(known[:LISTED]) if known else 'none'}{rest}"
