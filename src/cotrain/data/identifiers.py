"""Identifiers: columns that name the row instead of saying something about it, told by their name, their shape or their spread."""

from __future__ import annotations

import re

import polars as pl

_CODE = re.compile(r"(^|[^a-z])(id|code|zip|zipcode|postcode|plz|uuid|guid|key|ssn|iban|isbn|imei)s?($|[^a-z])")
_INDEX = re.compile(r"^\(index\)$|^unnamed: ?\d+$|^__index_level_\d+__$|^(row_?)?(index|number|nr|rownames?)$")

SHAPES = {
    "UUIDs": r"(?i)^\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?$",
    "hashes": r"(?i)^(0x)?([0-9a-f]{16}|[0-9a-f]{24}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64})$",
    "e-mail addresses": r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
    "web addresses": r"(?i)^(https?|ftp)://\S+$",
}
"""Words of these shapes name something: a column of them is an identifier unless few of them come again and again."""

NEAR_UNIQUE = 0.95
"""From so many different words a row on, a column of words says nothing about new rows."""

FEWEST = 20
"""Fewer rows than this are not judged by how many of their cells differ."""


def is_code(name: str) -> bool:
    """Whether a name is that of a code or an identifier: `det_ind_code`, `placeID`, `zip`."""
    return _CODE.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()) is not None


def is_index(name: str) -> bool:
    """Whether a name is that of a table's index: `Unnamed: 0`, `row_index`, `nr`."""
    return _INDEX.search(name.lower()) is not None


def named_words(words: pl.Series, held: int, unique: int) -> str | None:
    """Why a column of words is an identifier, or None. held: cells that are not missing. unique: different ones among them.

    >>> named_words(pl.Series("ticket", [f"ID{place:05d}" for place in range(40)]), 40, 40)
    'a number behind the same letters in every row, 40 different ones in 40 rows'
    """
    if held < FEWEST:
        return None
    cells = words.drop_nulls()
    sample = cells.head(2000)
    if unique >= FEWEST and unique > held / 10:
        for what, shape in SHAPES.items():
            if sample.str.contains(shape).all():
                return f"{what}, {unique} different ones in {held} rows"
    prefix = _same_letters(sample)
    if prefix is not None and (unique > held / 2 or (is_code(words.name) and unique > held / 4)):
        return f"a number behind the same letters in every row, {unique} different ones in {held} rows"
    if unique == held:
        return "every row has a word of its own"
    if unique > NEAR_UNIQUE * held:
        return f"nearly every row has a word of its own ({unique} different ones in {held} rows)"
    if held >= 50 and unique > held / 2:
        return f"{unique} different words in {held} rows: nothing to learn from most of them"
    return None


def named_numbers(values: pl.Series, held: int, unique: int) -> str | None:
    """Why a column of whole numbers (held as floats, too) is an identifier, or None.

    >>> named_numbers(pl.Series("ticket", [float(place) for place in range(1000, 1030)]), 30, 30)
    'counts the rows'
    >>> named_numbers(pl.Series("x", range(0, 300, 10)), 30, 30)
    'counts the rows by 10'
    """
    cells = values.drop_nulls()
    if is_index(values.name) and unique > held / 3:
        return "an index by its name, which says nothing about the row"
    if held < FEWEST:
        return None
    if is_code(values.name) and unique > held / 2:
        return "named like one, and most rows have a value of their own"
    if unique == held and cells.is_sorted():
        steps = cells.diff().drop_nulls()
        step = float(steps[0])
        if bool((steps == steps[0]).all()):
            return "counts the rows" + (f" by {step:g}" if step != 1 else "")
    return None


def _same_letters(words: pl.Series) -> str | None:
    """The letters that stand before the digits of every word, where every word is made so; None otherwise."""
    parts = words.str.extract(r"^([^\d\s]{1,20}?)\d{2,}$", 1)
    if not len(words) or parts.has_nulls() or parts.n_unique() > 1:
        return None
    return str(parts[0])
