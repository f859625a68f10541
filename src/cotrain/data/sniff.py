"""How a text table is written: its encoding, separator and header, found out from its first bytes and said in words."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass

from cotrain.data.settings import MISSING

SEPARATORS = (",", ";", "\t", "|", " ")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\d+,\d+|[+-]?(inf|nan)", re.IGNORECASE)
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Layout:
    """What was found: separator, the header's names as they stand in the file (None without a header), and what to say."""

    separator: str
    header: tuple[str, ...] | None
    fields: int
    notes: tuple[str, ...]


def encoding_of(data: bytes) -> str:
    """The encoding of a text file: by its mark, else UTF-8 if it is valid, else Windows-1252 or Latin-1.

    >>> encoding_of("café".encode()), encoding_of("café".encode("latin-1")), encoding_of(codecs.BOM_UTF8 + b"a")
    ('utf-8', 'cp1252', 'utf-8-sig')
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return name
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _CHUNK):
            decoder.decode(data[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        undefined = any(byte in data for byte in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))
        return "latin-1" if undefined else "cp1252"
    return "utf-8"


def records(text: str, separator: str, limit: int = 200) -> list[list[str]]:
    """Up to `limit` records of the text's beginning; the last one is left out where the text was cut for the sample."""
    found: list[list[str]] = []
    try:
        for record in csv.reader(text.splitlines(keepends=True), delimiter=separator, skipinitialspace=True):
            if record and any(cell.strip() for cell in record):
                found.append(record)
            if len(found) >= limit:
                break
    except csv.Error:
        return found
    return found


def separator_of(text: str) -> str:
    r"""The separator that gives the most even table with more than one column; a comma where none does.

    >>> separator_of("a;b\n1,5;2\n2,5;3\n"), separator_of("name\nx\ny\n")
    (';', ',')
    """
    best, chosen = (0.0, 0), ","
    for separator in SEPARATORS:
        rows = records(text, separator)
        widths = Counter(len(row) for row in rows[1:] or rows)
        if not widths:
            continue
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        if width < 2 or (len(rows) > 1 and abs(len(rows[0]) - width) > 2):
            continue
        share = count / sum(widths.values())
        odd = 0.1 * (len(rows[0]) != width) + 0.3 * (separator == " ")
        score = (round(share, 2) - odd, width)
        if share >= 0.5 and score > best:
            best, chosen = score, separator
    return chosen


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, with a decimal point or a decimal comma."""
    return NUMBER.fullmatch(cell.strip()) is not None


def has_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first line is a header: it holds no number, or a word above numbers, or whole numbers above decimal ones.

    >>> has_header(["who", "2019"], [["a", "1"], ["b", "2"]]), has_header(["n", "2019"], [["3", "1"]])
    (False, True)
    """
    if not any(is_number(cell) for cell in first):
        return True
    for place, cell in enumerate(first):
        below = [row[place].strip() for row in rest if place < len(row) and row[place].strip() not in MISSING]
        if below and cell not in MISSING and not is_number(cell) and all(is_number(one) for one in below):
            return True
    names = len(set(first)) == len(first) and all(cell.isdigit() for cell in first)
    return names and any("." in cell for row in rest for cell in row)


def layout_of(text: str, separator: str | None, header: bool | None, whole: bool) -> Layout:
    """The layout of a text table from its beginning. `whole`: the text is the entire file, so its last record counts."""
    notes: list[str] = []
    if separator is None:
        separator = separator_of(text)
        if separator != ",":
            notes.append(f"separator: {NAMES[separator]}")
    rows = records(text, separator)
    if not whole and len(rows) > 1:
        rows = rows[:-1]
    if not rows:
        return Layout(separator, None, 0, tuple(notes))
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    width = Counter(len(row) for row in rest).most_common(1)[0][0] if rest else len(first)
    if header is None:
        header = has_header(first, rest)
        if not header:
            number = next(cell for cell in first if is_number(cell))
            notes.append(
                f"the first line holds the number '{number}', so it is taken as data and not as a header; "
                "say `header: true` if it is one, or name the columns with `columns`"
            )
    return Layout(separator, tuple(first) if header else None, width, tuple(notes))


def named(names: tuple[str, ...], fields: int) -> tuple[list[str], list[str]]:
    """(names, notes): a header made usable: `# ` and numbering taken off, a missing index name added, every name once.

    >>> named(("# time", "a", "a", ""), 5)[0]
    ['(index)', 'time', 'a', 'a_2', 'column_5']
    """
    out, notes = [name.strip() for name in names], []
    if out and out[0].startswith("#"):
        out[0] = out[0].lstrip("#").strip()
        notes.append("the header begins with '#', which was taken off")
        if not out[0] and len(out) > 1:
            out = out[1:]
    if len(out) > 1 and all(re.match(rf"{place}:.", name) for place, name in enumerate(out, 1)):
        out = [name.split(":", 1)[1] for name in out]
        notes.append("the header numbers its columns ('1:Date'), the numbers were taken off")
    if fields == len(out) + 1:
        out = ["(index)", *out]
        notes.append(
            "the rows have one field more than the header: the first is an unnamed index, here called '(index)'"
        )
    elif out and not out[0]:
        out[0] = "(index)"
        notes.append("the first column has no name: it is taken as an index, here called '(index)'")
    for place, name in enumerate(out):
        if not name:
            out[place] = f"column_{place + 1}"
            notes.append(f"column {place + 1} has no name, here called '{out[place]}'")
    seen: dict[str, int] = {}
    taken = set(out)
    for place, name in enumerate(out):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            fresh, number = f"{name}_{seen[name]}", seen[name]
            while fresh in taken:
                number += 1
                fresh = f"{name}_{number}"
            taken.add(fresh)
            out[place] = fresh
            notes.append(f"the name '{name}' comes twice in the header; column {place + 1} is here called '{fresh}'")
    return out, notes
