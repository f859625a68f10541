"""A table too large for memory, piece by piece: csv (gzip too), parquet, arrow and jsonl files, one or many, in a fixed order.

The rows are those that `read_table` gives, numbered from 0 through all files. What depends on all cells of a column at once is decided
from a sample (`survey`): that its words are numbers, and how they are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cotrain.core.errors import DataError
from cotrain.data.clean import Step, tidy
from cotrain.data.delimited import names_of, parsed, single_blanks
from cotrain.data.notes import Notes
from cotrain.data.read import PLAIN, Format, format_of, found, joined, refuse_patterns
from cotrain.data.settings import ReadSettings
from cotrain.data.sniff import Layout
from cotrain.data.text_pieces import beginning, pieces

ROWS = 131_072
"""Rows of a piece at most."""

STREAMED: tuple[Format, ...] = ("csv", "parquet", "arrow", "jsonl")
_SAMPLE = 1 << 16
_ENDS = 1 << 20


@dataclass(frozen=True)
class Piece:
    """Some rows. start: the number of the first. split: the one its file was given for, or None. steps: what was tidied."""

    start: int
    frame: pl.DataFrame
    file: Path
    split: str | None
    steps: list[Step]

    @contextmanager
    def placed(self) -> Iterator[None]:
        """A DataError raised inside says where this piece is."""
        try:
            yield
        except DataError as error:
            if not self.start:
                raise
            raise DataError(f"{error} (rows counted from row {self.start + 1} of the table, '{self.file}')") from error


@dataclass(frozen=True)
class LargeTable:
    """Files with the same columns that are gone through piece by piece.

    files: (split or None, path, format), in order. comma_free: a text table whose separator is no comma.
    """

    files: tuple[tuple[str | None, Path, Format], ...]
    reading: ReadSettings
    columns: tuple[str, ...]
    comma_free: bool = False

    @property
    def origin(self) -> str:
        """Said in reports."""
        paths = [path for _, path, _ in self.files]
        return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"

    def pieces(self, notes: Notes | None = None, *, rows: int = ROWS) -> Iterator[Piece]:
        """All rows, words tidied, in pieces of at most `rows`. Raises DataError, as reading the whole would, naming file and place."""
        start, head = 0, None
        for split, path, form in self.files:
            for where, frame in _READERS[form](path, self.reading, notes):
                try:
                    refuse_patterns(frame)
                    frame = frame if head is None else joined([head, (f"'{path}'", frame)])
                except DataError as error:
                    raise DataError(f"{error} ({path}, {where})") from error
                if head is None:
                    head = (f"'{self.files[0][1]}'", frame.clear())
                for begin in range(0, frame.height, rows):
                    part, steps = tidy(frame[begin : begin + rows], self.reading.words)
                    yield Piece(start, part, path, split, steps)
                    start += part.height

    def fingerprint(self) -> str:
        """What tells these files from others without reading them: sizes, times of change, first and last megabyte."""
        digest = hashlib.blake2b(repr((self.reading, self.columns)).encode(), digest_size=20)
        for split, path, form in self.files:
            about = path.stat()
            digest.update(f"{split}:{form}:{about.st_size}:{about.st_mtime_ns}:".encode())
            with path.open("rb") as file:
                digest.update(file.read(_ENDS))
                file.seek(max(0, about.st_size - _ENDS))
                digest.update(file.read(_ENDS))
        return digest.hexdigest()


def large_table(
    source: str | Path | Sequence[str | Path] | Mapping[str, Any], reading: ReadSettings = PLAIN
) -> LargeTable:
    """The table behind a path, a glob, several of them, or {split: one of these}, of which only the beginning is read.

    Raises DataError for files that are not there or of a kind that cannot be read piece by piece.
    """
    given: Mapping[Any, Any] = source if isinstance(source, Mapping) else {None: source}
    files: list[tuple[str | None, Path, Format]] = []
    for split, one in given.items():
        for path in found(one):
            form = format_of(path, reading)
            if form not in STREAMED or (form == "jsonl" and beginning(path, 64).lstrip().startswith(b"[")):
                what = "one JSON list" if form == "jsonl" else form
                raise DataError(
                    f"'{path}' ({what}) cannot be read piece by piece; write it as parquet, csv, arrow or one JSON object a line, or set data.stream to false"
                )
            files.append((split, path, form))
    columns, comma_free = _columns(files[0][1], files[0][2], reading)
    return LargeTable(tuple(files), reading, columns, comma_free)


def _columns(path: Path, form: Format, reading: ReadSettings) -> tuple[tuple[str, ...], bool]:
    if form == "csv":
        layout, names, _ = _written(path, reading)
        return tuple(names), layout.separator != ","
    for _, frame in _READERS[form](path, reading, None):
        return tuple(frame.columns), False
    raise DataError(f"'{path}' is empty; a table with rows is expected. Is it the right file?")


# --------------------------------------------------------------------------------------------------- one reader a format

Frames = Iterator[tuple[str, pl.DataFrame]]
"""(where in the file, rows)."""


def _written(path: Path, reading: ReadSettings) -> tuple[Layout, list[str], list[str]]:
    """How a text table is written, from its beginning: (layout, names, notes)."""
    sample = beginning(path, _SAMPLE)
    if not sample.strip():
        raise DataError(f"'{path}' is empty; a table with a header and rows is expected. Is it the right file?")
    if b"\x00" in sample:
        raise DataError(
            f"'{path}' is no text table: it holds zero bytes. Give `format` (parquet, arrow) if it is another kind of table"
        )
    whole, sample = len(sample) < _SAMPLE, sample.removeprefix(b"\xef\xbb\xbf")
    text = sample.decode(reading.encoding or "utf-8", errors="ignore").replace("\r\n", "\n")
    return names_of(path, text, reading, whole=whole)


def _csv(path: Path, reading: ReadSettings, notes: Notes | None) -> Frames:
    layout, names, said = _written(path, reading)
    if notes is not None:
        notes.add(said)
    header = layout.header is not None
    for line, data in pieces(path, reading.encoding, quoted=True):
        data = single_blanks(data) if layout.separator == " " else data
        empty: list[str] = []
        try:
            frame = parsed(path, data, layout.separator, names, header, empty)
        except DataError as error:
            raise DataError(
                f"{error} (lines counted from line {line} of the file)" if line > 1 else str(error)
            ) from error
        header = False
        if notes is not None:
            notes.add(empty)
        yield f"from line {line} on", frame


def _jsonl(path: Path, reading: ReadSettings, notes: Notes | None) -> Frames:
    columns: list[str] | None = None
    for line, data in pieces(path, reading.encoding, quoted=False):
        if not data.strip():
            continue
        try:
            frame = pl.read_ndjson(data, infer_schema_length=None)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _unreadable(path, "jsonl", f"from line {line} on", error) from error
        columns = columns or frame.columns
        new = [name for name in frame.columns if name not in columns]
        if new:
            raise DataError(
                f"'{path}', from line {line} on, has the key '{new[0]}', which no earlier row has; name every key in the first row (null where "
                "it has none), or set data.stream to false"
            )
        absent = [pl.lit(None).alias(name) for name in columns if name not in frame.columns]
        yield f"from line {line} on", frame.with_columns(absent).select(columns)


def _parquet(path: Path, reading: ReadSettings, notes: Notes | None) -> Frames:
    return _slices(path, "parquet")


def _arrow(path: Path, reading: ReadSettings, notes: Notes | None) -> Frames:
    return _slices(path, "arrow")


def _slices(path: Path, form: str) -> Frames:
    start = 0
    try:
        scan = pl.scan_parquet if form == "parquet" else pl.scan_ipc
        rows = scan(path).select(pl.len()).collect().item()
        for start in range(0, max(rows, 1), ROWS):
            yield f"from row {start + 1} on", scan(path).slice(start, ROWS).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(path, form, f"from row {start + 1} on", error) from error


def _unreadable(path: Path, form: str, where: str, error: BaseException) -> DataError:
    cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DataError(
        f"'{path}', {where}, cannot be read as {form}: it is damaged, only half written, or another kind of file ({cause[:200]}). "
        "Write it again, or give `format`"
    )


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "arrow": _arrow}
