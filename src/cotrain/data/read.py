"""A table from wherever it lies: a file, a glob, several files, a frame or arrays in memory.

Whatever was found out on the way (separator, encoding, a header's oddities) is said in the table's notes; whatever was changed
in a cell is counted in its steps.
"""

from __future__ import annotations

import glob
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from cotrain.core.errors import DataError, nearest
from cotrain.data.cifar_batches import cifar_table, holds_batches
from cotrain.data.clean import Step, tidy
from cotrain.data.delimited import read_delimited, unpacked
from cotrain.data.frames import from_columns, from_memory
from cotrain.data.manners import Manner
from cotrain.data.packed import ZIP_ERRORS
from cotrain.data.picture_folders import folder_table, holds_pictures
from cotrain.data.settings import ReadSettings
from cotrain.data.typed import as_words, typed

PLAIN = ReadSettings()
"""Everything is found out."""

Format = Literal["csv", "parquet", "jsonl", "arrow", "npz"]
FORMATS: dict[str, Format] = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".txt": "csv", ".data": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".arrow": "arrow", ".ipc": "arrow", ".feather": "arrow", ".npz": "npz",
}  # fmt: skip
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_DAMAGED: tuple[type[BaseException], ...] = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ValueError,
    *ZIP_ERRORS,
)
_MAGIC: dict[bytes, Format] = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "npz"}


@dataclass(frozen=True)
class Table:
    """A frame with where it comes from.

    frame: the cells, words stripped and missing words made missing, numbers typed. origin: said in reports. notes: what was
    found out. steps: what was changed, counted. files: (path, rows) in the frame's order. reading: how it was read.
    parts: {split: number of rows}, in the frame's order, where the files were given split by split. manners: {column: how its numbers
    were written}, where they came as words. folder: where the file lies (the first of several), and relative paths in its cells begin.
    mark: a fingerprint of what the table was made of, where that is no file.
    """

    frame: pl.DataFrame
    origin: str
    notes: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    files: tuple[tuple[Path, int], ...] = ()
    reading: ReadSettings = field(default_factory=ReadSettings)
    parts: Mapping[str, int] = field(default_factory=dict)
    manners: Mapping[str, Manner] = field(default_factory=dict)
    folder: Path | None = None
    mark: str | None = None

    def __len__(self) -> int:
        return self.frame.height

    def digest(self) -> str | None:
        """A fingerprint of the files' bytes and of how they were read, or None for a table that is not all from files."""
        if self.mark is not None:
            return self.mark
        if not self.files or sum(rows for _, rows in self.files) != len(self):
            return None
        digest = hashlib.blake2b(repr((self.reading, dict(self.parts))).encode(), digest_size=20)
        for path, rows in self.files:
            with path.open("rb") as file:
                digest.update(f"{rows}:".encode())
                digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).digest())
        return digest.hexdigest()


def read_table(source: Any, settings: ReadSettings = PLAIN, *, known: Mapping[str, Manner] | None = None) -> Table:
    """The table behind a path, a glob, a list of paths, a folder or zip of pictures, batches of CIFAR, or a polars / pandas frame, NumPy array or dict of columns.

    known: how the numbers of a table read before are written, for a table like it.
    Raises DataError, saying what to do, if there is no such file, it is only half written, or several files disagree.

    >>> table = read_table({"x": ["1", "?", " 3"]})
    >>> table.frame["x"].to_list(), table.steps[0].count
    ([1, None, 3], 1)
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, (str, Path)) and holds_pictures(Path(source)):
        frame, notes, mark = folder_table(Path(source))
        return Table(frame, str(source), notes, reading=settings, mark=mark)
    if isinstance(source, (str, Path)) and holds_batches(Path(source)):
        frame, notes, mark = cifar_table(Path(source))
        return Table(frame, str(source), notes, reading=settings, mark=mark)
    if isinstance(source, (str, Path)) or _paths(source):
        return from_files(found(source if isinstance(source, (str, Path)) else list(source)), settings, known)
    frame, origin, notes = from_memory(source)
    frame, steps, said, manners = tidied(frame, settings, comma_free=False, known=known)
    return Table(frame, origin, [*notes, *said], steps, reading=settings, manners=manners)


def read_given(files: Mapping[str, Any], settings: ReadSettings = PLAIN) -> Table:
    """One table from one source a split, {"train": ..., "valid": ..., "test": ...}, their rows in that order.

    >>> read_given({"train": {"x": [1, 2]}, "test": {"x": [3]}}).parts
    {'train': 2, 'test': 1}
    """
    order = [name for name in ("train", "valid", "test") if name in files]
    if "train" not in order or len(order) != len(files):
        raise DataError(f"sources for train and for valid or test are expected, got {', '.join(files) or 'none'}")
    tables = {"train": read_table(files["train"], settings)}
    known = tables["train"].manners
    tables |= {name: read_table(files[name], settings, known=known) for name in order[1:]}
    origin = "; ".join(f"{name}: {table.origin}" for name, table in tables.items())
    frame = joined([(f"the {name} file", table.frame) for name, table in tables.items()])
    return Table(
        frame,
        origin,
        list(dict.fromkeys(note for table in tables.values() for note in table.notes)),
        added([step for table in tables.values() for step in table.steps]),
        tuple(file for table in tables.values() for file in table.files),
        settings,
        {name: len(table) for name, table in tables.items()},
        known,
        tables["train"].folder,
        None
        if any(table.mark is None for table in tables.values())
        else ":".join(str(table.mark) for table in tables.values()),
    )


def found(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files a path, a glob or a list of them names, in order of name for a glob."""
    if isinstance(source, (list, tuple)):
        return [path for one in source for path in found(one)]
    text = str(source)
    path = Path(text)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = sorted(str(one.name) for one in path.iterdir() if one.is_file())[:5]
        raise DataError(
            f"'{text}' is a folder without pictures; a file or a glob is expected, for example '{text}/*.csv'. It holds: {', '.join(inside)}"
        )
    if any(mark in text for mark in "*?["):
        hits = [Path(one) for one in sorted(glob.glob(text, recursive=True)) if Path(one).is_file()]
        if hits:
            return hits
        raise DataError(f"no file matches '{text}'; look at the folder's name and the ending")
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    guess = nearest(path.name, beside)
    if beside or path.parent.is_dir():
        hint = f"did you mean '{path.parent / guess}'?" if guess else f"the folder '{path.parent}' has no such name"
    else:
        hint = f"there is no folder '{path.parent}'"
    raise DataError(f"no file '{text}': {hint}")


def from_files(paths: Sequence[Path], settings: ReadSettings, known: Mapping[str, Manner] | None = None) -> Table:
    """One table from one or several files with the same columns."""
    frames, notes, files = [], [], []
    comma_free = False
    for path in paths:
        frame, said, free = read_file(path, settings)
        comma_free |= free
        frames.append((f"'{path}'", frame))
        notes += [note if len(paths) == 1 else f"{path.name}: {note}" for note in said]
        files.append((path, frame.height))
    frame, steps, said, manners = tidied(joined(frames), settings, comma_free, known)
    origin = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"
    return Table(frame, origin, [*notes, *said], steps, tuple(files), settings, manners=manners, folder=paths[0].parent)


def format_of(path: Path, settings: ReadSettings) -> Format:
    """The kind of a file: `settings.format`, else by its first bytes, else by its ending. Raises DataError for a spreadsheet."""
    if settings.format is not None:
        return settings.format
    with path.open("rb") as file:
        start = file.read(8)
    ending = next((one for one in reversed(path.suffixes) if one != ".gz"), ".csv").lower()
    form = next((known for mark, known in _MAGIC.items() if start.startswith(mark)), FORMATS.get(ending, "csv"))
    if path.suffix.lower() in _SHEETS:
        raise DataError(
            f"'{path}' is a spreadsheet, which is not read; save it as csv, one header line and one row a line"
        )
    return form


def read_file(path: Path, settings: ReadSettings) -> tuple[pl.DataFrame, list[str], bool]:
    """(frame, notes, whether it is a text table whose separator is no comma) of one file."""
    if not path.is_file():
        raise DataError(f"no file '{path}'")
    form = format_of(path, settings)
    if form == "csv":
        frame, notes, separator = read_delimited(path, settings)
        return frame, notes, separator != ","
    data = unpacked(path)
    try:
        if form == "parquet":
            return pl.read_parquet(data), [], False
        if form == "arrow":
            return pl.read_ipc(data), [], False
        if form == "jsonl":
            rows = data.lstrip()
            read = pl.read_json if rows.startswith(b"[") else pl.read_ndjson
            return read(rows, infer_schema_length=None), [], False
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return from_columns({name: arrays[name] for name in arrays.files}), [], False
    except DataError as error:
        raise DataError(f"'{path}': {error}") from error
    except _DAMAGED as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"'{path}' cannot be read as {form}: it is damaged, only half written, or another kind of file ({cause[:200]}). "
            "Write it again, or give `format`"
        ) from error


def joined(frames: Sequence[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    """Frames with the same columns, in any order, one below the other; DataError names the column that differs."""
    first_name, first = frames[0]
    rest = []
    for name, frame in frames[1:]:
        absent = [column for column in first.columns if column not in frame.columns]
        extra = [column for column in frame.columns if column not in first.columns]
        if absent or extra:
            says = [f"lacks {', '.join(absent[:5])}"] if absent else []
            says += [f"has also {', '.join(extra[:5])}"] if extra else []
            raise DataError(
                f"files of one table must have the same columns; against {first_name}, {name} {' and '.join(says)}"
            )
        rest.append(frame[first.columns])
    if not rest:
        return first
    try:
        return pl.concat(together([first, *rest]), how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the files' columns do not go together: {error}; write them in the same way") from error


def together(frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """Frames whose columns can stand below each other: empty columns of no type, mixed ones as words."""
    changes: list[list[pl.Series]] = [[] for _ in frames]
    for name in frames[0].columns:
        columns = [frame[name] for frame in frames]
        held = [column for column in columns if column.null_count() < len(column)]
        kinds = {column.dtype for column in held}
        mixed = len(kinds) > 1 and not all(kind.is_numeric() for kind in kinds)
        for column, changed in zip(columns, changes, strict=True):
            if column.null_count() == len(column):
                changed.append(pl.Series(name, [None] * len(column), dtype=pl.Null))
            elif mixed and not column.dtype.is_nested():
                changed.append(as_words(column))
    return [frame.with_columns(changed) for frame, changed in zip(frames, changes, strict=True)]


def tidied(
    frame: pl.DataFrame, settings: ReadSettings, comma_free: bool, known: Mapping[str, Manner] | None = None
) -> tuple[pl.DataFrame, list[Step], list[str], dict[str, Manner]]:
    """(frame, steps, notes, manners): words tidied, numbers typed. Raises DataError for a name that Polars takes for a pattern."""
    refuse_patterns(frame)
    frame, steps = tidy(frame, settings.words)
    frame, notes, manners = typed(frame, settings.decimal, comma_free, known)
    return frame, steps, notes, manners


def refuse_patterns(frame: pl.DataFrame) -> None:
    """Raises DataError for a column's name that Polars takes for a pattern."""
    patterns = [name for name in frame.columns if name.startswith("^") and name.endswith("$")]
    if patterns:
        raise DataError(
            f"column names that begin with '^' and end with '$' are patterns to Polars: {patterns}; rename them"
        )


def added(steps: Sequence[Step]) -> list[Step]:
    """Steps of several files added up by kind and column."""
    total: dict[tuple[str, str | None, str], int] = {}
    for step in steps:
        key = (step.step, step.column, step.detail)
        total[key] = total.get(key, 0) + step.count
    return [Step(kind, column, count, detail) for (kind, column, detail), count in total.items()]


def _paths(source: Any) -> bool:
    return isinstance(source, (list, tuple)) and len(source) > 0 and all(isinstance(one, (str, Path)) for one in source)
