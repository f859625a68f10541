"""Text tables (csv, tsv and their kin) as frames of words. Typing the words is another file's affair.

A file that breaks off inside a row, a quote or a compressed stream is refused, never read as if it were whole.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import polars as pl

from cotrain.core.errors import DataError
from cotrain.data.packed import GZIP_ERRORS
from cotrain.data.settings import ReadSettings
from cotrain.data.sniff import Layout, encoding_of, layout_of, named

_SAMPLE = 1 << 16


def read_delimited(path: Path, settings: ReadSettings) -> tuple[pl.DataFrame, list[str], str]:
    """(frame of words, notes, separator). Raises DataError if the file is cut off, empty or not a table, with what to do."""
    data, notes = text_bytes(path, settings.encoding)
    if not data.strip():
        raise DataError(f"'{path}' is empty; a table with a header and rows is expected. Is it the right file?")
    if b"\x00" in data[:_SAMPLE]:
        raise DataError(
            f"'{path}' is no text table: it holds zero bytes. Give `format` (parquet, arrow, npz) if it is another kind of table"
        )
    sample = data[:_SAMPLE].decode("utf-8", errors="ignore")
    layout, names, said = names_of(path, sample, settings, whole=len(data) <= _SAMPLE)
    notes += said
    if layout.separator == " ":
        data = single_blanks(data)
    return parsed(path, data, layout.separator, names, layout.header is not None, notes), notes, layout.separator


def names_of(path: Path, sample: str, settings: ReadSettings, *, whole: bool) -> tuple[Layout, list[str], list[str]]:
    """(layout, a name for every column, notes) from the beginning of a file. `whole`: the sample is all of it."""
    names = column_names(settings.columns)
    header = settings.header if names is None or settings.header is not None else False
    layout = layout_of(sample, settings.separator, header, whole)
    notes = list(layout.notes)
    if names is not None:
        width = layout.fields
        if len(names) != width:
            raise DataError(
                f"`columns` gives {len(names)} names, but the rows of '{path}' have {width} fields; "
                f"the first name is '{names[0] if names else ''}'. Name every column once"
            )
    elif layout.header is not None:
        names, said = named(layout.header, layout.fields)
        notes += said
    else:
        names = [f"column_{place}" for place in range(1, layout.fields + 1)]
    return layout, names, notes


def single_blanks(data: bytes) -> bytes:
    """Lines whose fields stand apart by one blank each."""
    return re.sub(rb"[ \t]+", b" ", re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", data))


def text_bytes(path: Path, encoding: str | None) -> tuple[bytes, list[str]]:
    """(the file's text as UTF-8, notes): unpacked if it is gzip, whatever its name, and converted if it is another encoding."""
    data, notes = unpacked(path), []
    found = encoding or encoding_of(data)
    if found == "utf-8-sig":
        data = data[3:]
    elif found.lower().replace("-", "") != "utf8":
        try:
            data = data.decode(found).encode("utf-8")
        except (UnicodeDecodeError, LookupError) as error:
            raise DataError(
                f"'{path}' is not written in '{found}' ({error}); give the right `encoding`, or none to find out"
            ) from error
        if encoding is None:
            notes.append(
                f"encoding: {found}, because the file is no valid UTF-8; give `encoding` if letters look wrong"
            )
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data, notes


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked where they are gzip. Raises DataError if the stream breaks off."""
    data = path.read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        if path.suffix == ".gz":
            raise DataError(f"'{path}' is no gzip file though its name ends in .gz; rename it, or fetch it again")
        return data
    try:
        return gzip.decompress(data)
    except GZIP_ERRORS as error:
        raise DataError(f"'{path}' is damaged or only half there ({error}); fetch or pack it again") from error


def column_names(columns: tuple[str, ...] | str | None) -> list[str] | None:
    """The names given, or read from the text file given, one a line."""
    if columns is None or not isinstance(columns, str):
        return None if columns is None else list(columns)
    path = Path(columns)
    if not path.is_file():
        raise DataError(f"`columns`: no file '{path}'; give the names themselves or a text file with one name a line")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return names


def parsed(path: Path, data: bytes, separator: str, names: list[str], header: bool, notes: list[str]) -> pl.DataFrame:
    """The frame of words; every row has as many fields as there are names, or DataError names the line."""
    frame = None
    with suppress(pl.exceptions.PolarsError):
        frame = pl.read_csv(
            data,
            has_header=False,
            separator=separator,
            infer_schema=False,
            schema=dict.fromkeys(names, pl.String),
            skip_rows=1 if header else 0,
        )
    if frame is None:
        frame = carefully(path, data, separator, names, header)
    elif frame[:, -1].has_nulls() and not _even(data, separator, len(names), frame.height + header):
        for _ in rows_of(path, data, separator, len(names), header):
            pass
    if frame.width > 1:
        kept = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        if kept.height < frame.height:
            notes.append(f"{frame.height - kept.height} empty lines were left out")
            frame = kept
    return frame


def _even(data: bytes, separator: str, fields: int, rows: int) -> bool:
    """Whether the separators add up to full rows; only sure, and only said, where nothing is quoted."""
    return b'"' not in data and data.count(separator.encode()) == rows * (fields - 1)


def carefully(path: Path, data: bytes, separator: str, names: list[str], header: bool) -> pl.DataFrame:
    """The frame of words, record by record, for files with oddities."""
    columns: list[list[str | None]] = [[] for _ in names]
    for record in rows_of(path, data, separator, len(names), header):
        for column, cell in zip(columns, record, strict=True):
            column.append(cell or None)
    return pl.DataFrame(
        {name: pl.Series(name, column, dtype=pl.String) for name, column in zip(names, columns, strict=True)}
    )


def rows_of(path: Path, data: bytes, separator: str, fields: int, header: bool) -> Iterator[list[str]]:
    """The records one by one, blank lines left out; DataError names the line of the first that has too few or too many fields."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    reader = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=True)
    line, first, ends = 1, True, data.endswith(b"\n")
    try:
        for record in reader:
            start, line = line, reader.line_num + 1
            if first and header:
                first = False
                continue
            first = False
            if not record:
                continue
            if len(record) != fields:
                cut = len(record) < fields and not ends and data.count(b"\n") < line
                raise DataError(
                    f"'{path}', line {start}: {fields} fields are expected, got {len(record)} "
                    f"(first: '{record[0][:40]}'). "
                    + (
                        "It is the last line and does not end: the file was probably only half written; fetch it again"
                        if cut
                        else "A stray separator or quote in this line? Quote the cell, or give the right `separator`"
                    )
                )
            yield record
    except csv.Error as error:
        raise DataError(
            f"'{path}', from line {line} on: {error}. A quote is opened and never closed: the file was probably only half "
            "written, or a cell holds a lone quote; fetch it again, or double the quote"
        ) from error
