"""What kind of column each one is, with the reason, so that a person can look at it and say otherwise.

Kinds: number, category, binary (a category of two), date, text, image, identifier, constant, other (lists, bytes). Identifiers, constants
and others are no inputs; that is said, not done in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.data.dates import date_form, epoch_form
from cotrain.data.identifiers import is_code, is_index, named_numbers, named_words
from cotrain.data.numbers import as_floats
from cotrain.data.picture_cells import PictureCells, picture_form
from cotrain.data.typed import looks_numeric

KINDS = ("number", "category", "binary", "date", "text", "image", "identifier", "constant", "ignore")
ENCODED = ("number", "category", "binary", "date", "text", "image")

FEW = 10
"""Whole numbers with at most this many different values, each coming often, are taken for codes of categories."""


@dataclass(frozen=True)
class Column:
    """One column's kind and why. form: how dates are written. said: the kind was given by a person."""

    name: str
    kind: str
    why: str
    missing: int
    unique: int
    form: str | None = None
    said: bool = False

    def to_json(self) -> dict[str, Any]:
        """The column as plain JSON."""
        return {"name": self.name, "kind": self.kind, "why": self.why, "missing": self.missing, "unique": self.unique}


def infer(
    frame: pl.DataFrame, kinds: Mapping[str, str] | None = None, *, columns: Sequence[str] | None = None
) -> dict[str, Column]:
    """{name: Column} for the given columns (default: all), in order. `kinds` overrides: {"zip": "category"}.

    A date's form can be said in brackets: `date(%d/%m/%Y)`. Raises ConfigError for an unknown column or kind, and DataError,
    for all such columns at once, where a column of numbers holds words, with the row and the cell.

    >>> found = infer(pl.DataFrame({"age": [23.5, 40.25, 31.0], "sex": ["f", "m", "f"], "one": [1, 1, 1]}))
    >>> [column.kind for column in found.values()]
    ['number', 'binary', 'constant']
    """
    kinds = kinds or {}
    for name in kinds:
        if name not in frame.columns:
            raise ConfigError("data.kinds: " + unknown("column", name, frame.columns))
    names = list(frame.columns if columns is None else columns)
    at = {name: pl.nth(place) for place, name in enumerate(frame.columns)}
    counts = frame.select(
        *(at[name].null_count().alias(f"missing:{name}") for name in names),
        *(
            at[name].drop_nulls().n_unique().alias(f"unique:{name}")
            for name in names
            if not frame.schema[name].is_nested()
        ),
    )
    stats = counts.row(0, named=True) if counts.width else {}
    found: dict[str, Column] = {}
    problems: list[str] = []
    for name in names:
        missing, unique = stats[f"missing:{name}"], stats.get(f"unique:{name}", 0)
        try:
            if name in kinds:
                kind, why, form = said(frame[name], kinds[name])
            else:
                kind, why, form = guess(frame[name], missing, unique)
        except DataError as error:
            problems.append(str(error))
            continue
        found[name] = Column(name, kind, why, missing, unique, form, name in kinds)
    if problems:
        raise DataError("\n".join(problems))
    return found


def said(series: pl.Series, word: str) -> tuple[str, str, str | None]:
    """(kind, why, form) for a kind given by a person, after the cells were looked at."""
    match = re.fullmatch(r"(\w+)(?:\((.+)\))?", word.strip())
    kind, form = (match[1], match[2]) if match else (word, None)
    if kind not in KINDS:
        raise ConfigError(f"data.kinds.{series.name}: " + unknown("kind", kind, KINDS))
    if kind == "number":
        as_floats(series)
    if kind == "image":
        PictureCells(series)
    if kind == "date" and form is None and series.dtype.is_numeric():
        form = epoch_form(series)
    if kind == "date" and form is None and series.dtype == pl.String:
        form, _ = date_form(series)
        if form is None:
            held = series.drop_nulls()
            raise DataError(
                f"column '{series.name}' is said to be a date, but its cells are written in no known way "
                f"(first: '{held[0] if len(held) else ''}'); say how, for example kinds: {{{series.name}: date(%d/%m/%Y)}}"
            )
    return kind, "said in data.kinds", form


def guess(series: pl.Series, missing: int, unique: int) -> tuple[str, str, str | None]:
    """(kind, why, form) from the cells and the name."""
    name, rows = series.name.lower(), len(series)
    held = rows - missing
    pictures = picture_form(series)
    if pictures is not None:
        return "image", pictures, None
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object, pl.Duration):
        return "other", f"cells are {series.dtype}", None
    if not held:
        return "constant", "every cell is missing", None
    if unique == 1 and not missing:
        return "constant", f"always {_shown(series)}", None
    if unique == 1:
        return "binary", f"{_shown(series)} or missing", None
    if is_index(name) and unique > held / 3 and not series.dtype.is_float():
        return "identifier", "an index by its name, which says nothing about the row", None
    if series.dtype in (pl.Date, pl.Datetime):
        return "date", "a date by its type", None
    if series.dtype == pl.Boolean or unique == 2:
        return "binary", "two different values", None
    if series.dtype.is_numeric():
        form = epoch_form(series, series.name)
        if form is not None:
            return "date", f"named like a time stamp and counts from 1970 ({form})", form
        return (*guess_number(series, held, unique), None)
    if series.dtype == pl.String:
        return guess_words(series, held, unique)
    return "category", f"{unique} different values of type {series.dtype}", None


def guess_number(series: pl.Series, held: int, unique: int) -> tuple[str, str]:
    """(kind, why) for a column of numbers."""
    values = series.drop_nulls()
    whole = not series.dtype.is_float() or bool((values == values.round(0)).all())
    if not whole:
        return "number", f"{unique} different numbers"
    why = named_numbers(series, held, unique)
    if why is not None:
        return "identifier", why
    if is_code(series.name):
        return "category", f"named like a code, {unique} different ones"
    if unique <= FEW and held >= 10 * unique and float(values.min()) >= 0:  # type: ignore[arg-type]
        return "category", f"only {unique} different whole numbers"
    return "number", f"{unique} different whole numbers"


def guess_words(series: pl.Series, held: int, unique: int) -> tuple[str, str, str | None]:
    """(kind, why, form) for a column of words. Raises DataError where it is numbers but for a few cells."""
    form, why = date_form(series)
    if form is not None:
        return "date", why, form
    share, numbers = looks_numeric(series)
    padded = bool(series.str.contains(r"^[+-]?0\d+$").any())
    if share >= 0.9 and numbers >= 10 and not padded and not is_code(series.name):
        as_floats(series)
    words = series.drop_nulls()
    sample = words.head(2000)
    spaces = sample.str.count_matches(r"\s+").mean() or 0.0
    if isinstance(spaces, (int, float)) and spaces >= 4 and unique > min(held / 5, 200):
        return "text", f"sentences of about {spaces + 1:.0f} words, {unique} different ones", None
    if unique > min(held / 5, 200) and without_blanks(sample):
        return "text", f"sentences of a language without blanks, {unique} different ones", None
    identifier = named_words(series, held, unique)
    if identifier is not None:
        return "identifier", identifier, None
    return "category", f"{unique} different words", None


def described(columns: Sequence[Column]) -> list[str]:
    """One line a column: name, kind, why, and how many cells are missing."""
    wide = max((len(column.name) for column in columns), default=0)
    return [
        f"{column.name:<{wide}}  {column.kind:<10}  {column.why}"
        + (f"; {column.missing} missing" if column.missing else "")
        for column in columns
    ]


def without_blanks(words: pl.Series) -> bool:
    """Whether words are sentences of Chinese, Japanese, Thai, Lao, Khmer or Burmese: eight such letters or more in the middle one.

    >>> without_blanks(pl.Series(["房间很干净，服务也很好"])), without_blanks(pl.Series(["北京"]))
    (True, False)
    """
    letters = words.str.count_matches(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]").median()
    return isinstance(letters, (int, float)) and letters >= 8


def _shown(series: pl.Series) -> str:
    return f"'{str(series.drop_nulls()[0])[:40]}'"
