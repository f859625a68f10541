"""How the numbers in a column of words are written: found out once, when a table is first read, and kept for every row that comes.

A manner is a word for point and comma, `plain` (1234.5), `comma` (1.234,5) or `thousands` (1,234.5), and after a blank the sign that
every cell bears: `thousands $`, `comma EUR`, `plain %`, or `()` where brackets mean below 0. In a column with a sign a space or an
apostrophe may stand between thousands too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import polars as pl

Manner = str
Decimal = Literal[".", ","]

MANNERS: tuple[Manner, ...] = ("plain", "comma", "thousands")
EXAMPLES = {"plain": "1234.5", "comma": "1.234,5", "thousands": "1,234.5"}

_COMMA = r"^[+-]?\d+(,\d+)?$|^[+-]?\d{1,3}(\.\d{3})+(,\d+)?$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$|^[+-]?\d{1,3}(\.\d+)?$"
_POINT = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_PADDED = r"^[+-]?0\d+$"
_FITS = {"comma": _COMMA, "thousands": f"{_THOUSANDS}|{_POINT}"}

_CODES = "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|INR|BRL|MXN|ZAR|SEK|NOK|DKK|PLN|CZK|HUF|TRY|RUB|KRW|SGD|HKD"
_SIGN = rf"(US\$|[$€£¥₹₩₽₺%]|{_CODES})"
_BRACKETS = r"^\((.*)\)$"
_GAP = "[ \u00a0\u202f'’]"


def found_manner(
    words: pl.Series, decimal: Decimal | None, comma_free: bool
) -> tuple[pl.Series | None, Manner | None, str | None]:
    """(the column as numbers, its manner, a note), or Nones where not every cell reads as a number written in one way.

    decimal: "," reads 1.234,5 and "." reads 1,234.5; None finds out. comma_free: the file's separator is no comma, so that 1,234 is
    more likely a decimal comma than thousands.

    >>> numbers, manner, note = found_manner(pl.Series("pay", ["$1,234.50", "($7)"]), None, False)
    >>> numbers.to_list(), manner, note
    ([1234.5, -7.0], 'thousands $', "column 'pay' is written like 1,234.5 $: the sign is taken off")
    """
    numbers, manner, note = _bare(words, decimal, comma_free)
    if numbers is not None:
        return numbers, manner, note
    sign = _sign(words.drop_nulls())
    if sign is None:
        return None, None, None
    bare = without(words, sign)
    numbers, style, _ = _bare(bare, decimal, comma_free and sign in ("%", "()"))
    if numbers is None:
        return None, None, None
    manner = f"{style} {sign}"
    if style == "plain" and decimal is None and sign not in ("%", "()") and _may_be_thousands(bare):
        example = words.filter(bare.str.contains(".", literal=True))[0]
        return (
            numbers,
            manner,
            (
                f"column '{words.name}': '{example}' can mean two numbers, and is read with a decimal point; if the point stands between thousands, "
                'say `data: {decimal: ","}`, else "."'
            ),
        )
    said = {"%": "12 % is read as 12", "()": "brackets are read as below 0"}.get(sign, "the sign is taken off")
    return numbers, manner, f"column '{words.name}' is written like {written(manner)}: {said}"


def read_words(
    words: pl.Series, decimal: Decimal | None, comma_free: bool, told: Manner | None
) -> tuple[pl.Series | None, Manner | None, list[str]]:
    """`found_manner`, but for a column that was written as `told` before: it is read so if every cell can be, else anew, and that is said."""
    if told is not None and (numbers := as_told(words, told)) is not None:
        return numbers, told, []
    again, manner, note = found_manner(words, decimal, comma_free)
    notes = [note] if note else []
    if manner is not None and told is not None:
        notes.append(
            f"column '{words.name}' is not written as in training ({written(told)}), and was read as {written(manner)}"
        )
    return again, manner, notes


def manners(
    frame: pl.DataFrame, decimal: Decimal | None, comma_free: bool, known: Mapping[str, Manner] | None = None
) -> tuple[dict[str, Manner], list[str]]:
    """({column of words that are numbers: its manner}, notes), for a sample of a table that is read piece by piece.

    known: how columns were written in training.

    >>> manners(pl.DataFrame({"x": ["1,5", "2,25"], "y": ["a", "1"]}), None, False)[0]
    {'x': 'comma'}
    """
    found: dict[str, Manner] = {}
    notes: list[str] = []
    for name, dtype in frame.schema.items():
        if dtype == pl.String:
            _, manner, said = read_words(frame[name], decimal, comma_free, (known or {}).get(name))
            found |= {} if manner is None else {name: manner}
            notes += said
    return found, notes


def numbered(frame: pl.DataFrame, found: Mapping[str, Manner]) -> pl.DataFrame:
    """The frame with those columns as numbers; one that holds a cell written otherwise stays words, and is complained of where it is used.

    >>> numbered(pl.DataFrame({"x": ["1.234", "2"]}), {"x": "comma"})["x"].to_list()
    [1234, 2]
    """
    changed = [
        numbers.alias(name)
        for name, manner in found.items()
        if name in frame.columns
        and frame.schema[name] == pl.String
        and (numbers := as_told(frame[name], manner)) is not None
    ]
    return frame.with_columns(changed) if changed else frame


def as_told(words: pl.Series, manner: Manner) -> pl.Series | None:
    """The column as numbers if every cell there is can be written in this manner (the sign may be left out), else None."""
    style, _, sign = manner.partition(" ")
    bare = without(words, sign) if sign else words
    if style in _FITS and not bare.drop_nulls().str.contains(_FITS[style]).all():
        return None
    plain = plainly(bare, style)
    numbers = as_numbers(plain)
    if numbers is None:  # leading zeros, or a cell that is no number
        numbers = plain.cast(pl.Float64, strict=False)
        if numbers.null_count() > words.null_count():
            return None
    return numbers


def written(manner: Manner) -> str:
    """An example of a manner.

    >>> written("comma EUR"), written("thousands ()")
    ('1.234,5 EUR', '(1,234.5)')
    """
    style, _, sign = manner.partition(" ")
    if sign == "()":
        return f"({EXAMPLES[style]})"
    return f"{EXAMPLES[style]} {sign}".rstrip()


def plainly(words: pl.Series, style: Manner) -> pl.Series:
    """The words with a decimal point and nothing between thousands."""
    if style == "comma":
        return words.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return words.str.replace_all(",", "", literal=True) if style == "thousands" else words


def without(words: pl.Series, sign: str) -> pl.Series:
    """The words without their sign, without gaps between thousands, and with a minus for brackets.

    >>> without(pl.Series(["CHF 1'234'567.5", "-3 CHF", "(CHF 4)"]), "CHF").to_list()
    ['1234567.5', '-3', '-4']
    """
    below = words.str.contains(_BRACKETS)
    bare = words.str.replace(_BRACKETS, "$1")
    if sign != "()":
        bare = bare.str.replace(sign, "", literal=True)
    bare = bare.str.strip_chars().str.replace(r"^([+-])\s+", "$1")
    for _ in range(2):  # a digit between two gaps belongs to both
        bare = bare.str.replace_all(rf"(\d){_GAP}(\d{{3}})", "${1}${2}")
    minus = pl.when(pl.col("below") & ~pl.col("bare").str.starts_with("-")).then(pl.lit("-")).otherwise(pl.lit(""))
    cells = pl.DataFrame({"bare": bare.alias("bare"), "below": below.alias("below")})
    return cells.select(minus + pl.col("bare")).to_series().alias(words.name)


def as_numbers(words: pl.Series) -> pl.Series | None:
    """The column as Int64, else Float64, if every cell that is there reads as one; None otherwise or with leading zeros."""
    if words.str.contains(_PADDED).any():
        return None
    missing = words.null_count()
    whole = words.cast(pl.Int64, strict=False)
    if whole.null_count() == missing:
        return whole
    numbers = words.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == missing else None


def _bare(
    words: pl.Series, decimal: Decimal | None, comma_free: bool
) -> tuple[pl.Series | None, Manner | None, str | None]:
    """`found_manner` of words that bear no sign."""
    sample = words.drop_nulls().head(1000)
    if not len(sample):
        return None, None, None
    if decimal != "," and not sample.cast(pl.Float64, strict=False).has_nulls():
        numbers = as_numbers(words)
        if numbers is not None:
            return numbers, "plain", None
    if decimal != "." and sample.str.contains(_COMMA).all():
        clear = sample.str.contains(r",(\d{1,2}|\d{4,})$").any() or comma_free or decimal == ","
        if clear and words.drop_nulls().str.contains(_COMMA).all():
            numbers = as_numbers(plainly(words, "comma"))
            if numbers is not None:
                note = f"column '{words.name}' has decimal commas"
                return numbers, "comma", note if sample.str.contains(",", literal=True).any() else None
    if decimal != "," and sample.str.contains(_THOUSANDS).all() and words.drop_nulls().str.contains(_THOUSANDS).all():
        numbers = as_numbers(plainly(words, "thousands"))
        if numbers is not None:
            return numbers, "thousands", f"column '{words.name}' has commas between thousands"
    return None, None, None


def _may_be_thousands(bare: pl.Series) -> bool:
    """Whether there are points, and each could stand between thousands: amounts with three decimals, every one of them, are rare.

    >>> [_may_be_thousands(pl.Series(cells)) for cells in (["1.234", "7"], ["1.234", "7.5"], ["7"])]
    [True, False, False]
    """
    pointed = bare.drop_nulls().filter(bare.drop_nulls().str.contains(".", literal=True))
    return bool(len(pointed) and pointed.str.contains(r"^[+-]?[1-9]\d{0,2}\.\d{3}$").all())


def _sign(held: pl.Series) -> str | None:
    """The one sign that every cell bears once beside its digits, `()` where some cells stand in brackets, or None."""
    sample = held.head(100)
    if not len(sample) or not sample.str.contains(r"\d").all():
        return None
    sign = held.head(1).str.extract(_SIGN)[0]
    if sign is not None:
        once = held.str.count_matches(str(sign), literal=True) == 1
        bare = held.str.replace(str(sign), "", literal=True)
        return str(sign) if once.all() and not bare.str.contains(_SIGN).any() else None
    brackets = held.str.contains(_BRACKETS)
    return "()" if brackets.any() and not brackets.all() else None
