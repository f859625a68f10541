"""The pictures of a table made ready: read once, counted, and kept apart from what looks at cells.

A picture's cell is compared with no other cell, and no leak is looked for in it; equal rows are found by equal bytes or paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.data.clean import Step
from cotrain.data.columns import field_name
from cotrain.data.drawn import LazyField
from cotrain.data.encode import AnyEncoder
from cotrain.data.image_encoder import ImageEncoder, folders_of, refusal
from cotrain.data.infer import Column
from cotrain.data.picture_cells import PictureCells, is_file_struct, picture_form
from cotrain.data.pictures import Read, form_of, read, told
from cotrain.data.read import Table
from cotrain.data.settings import DataSettings


@dataclass(frozen=True)
class PictureColumns:
    """The pictures of a table, column by column; `settings` are the table's."""

    found: Mapping[str, Read]
    settings: DataSettings

    @property
    def fields(self) -> dict[str, Field | LazyField]:
        """{field: its pictures}, all rows of the table."""
        return {field_name(name): one.field for name, one in self.found.items()}

    def steps(self) -> list[Step]:
        """What was done to broken pictures, counted, with rows and reasons."""
        return [
            Step("broken picture", name, len(one.broken), told(one.cells, one.broken) + "; counts as missing")
            for name, one in self.found.items()
            if one.broken
        ]

    def staying(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], list[Step]]:
        """([n] bool: which of the given training rows stay, what was counted): rows of broken pictures leave where that was asked for.

        Raises DataError if no row would stay.
        """
        stay, steps = np.ones(len(rows), dtype=np.bool_), list[Step]()
        for name, one in self.found.items():
            if self.settings.of(name).image.broken == "drop":
                wrong = np.isin(rows, list(one.broken))
                stay &= ~wrong
                if wrong.any():
                    detail = "left out of the training split, kept in the others"
                    steps.append(Step("rows with a broken picture", name, int(wrong.sum()), detail))
        if len(rows) and not stay.any():
            raise DataError("\n".join(told(one.cells, one.broken) for one in self.found.values() if one.broken))
        return stay, steps


def read_pictures(
    frame: pl.DataFrame,
    columns: Sequence[Column],
    settings: DataSettings,
    folder: Path | None,
    train: NDArray[np.int64],
    before: Sequence[AnyEncoder] = (),
) -> PictureColumns:
    """Every picture of the columns of that kind, read once. train: the rows that say of what size and colour pictures are.

    before: encoders fitted earlier; their pictures are read as they were then.
    Raises DataError, for all columns at once, where broken pictures are refused, or cells cannot be pictures.
    """
    found: dict[str, Read] = {}
    problems: list[str] = []
    forms = {one.name: one.form for one in before if isinstance(one, ImageEncoder)}
    for column in columns:
        if column.kind != "image":
            continue
        said = settings.of(column.name).image
        try:
            cells = PictureCells(frame[column.name], folders_of(said.folder, folder))
            form = forms.get(column.name) or form_of(cells, said, train)
            found[column.name] = read(cells, form, cache_mib=said.cache_mib)
        except DataError as error:
            problems.append(str(error))
            continue
        if said.broken == "refuse" and found[column.name].broken:
            problems.append(refusal(found[column.name]))
    if problems:
        raise DataError("\n".join(problems))
    return PictureColumns(found, settings)


def read_as_said(encoders: Sequence[AnyEncoder], settings: DataSettings) -> tuple[AnyEncoder, ...]:
    """Encoders fitted earlier, those of pictures with what is said now of folders, broken pictures and memory."""
    told: list[AnyEncoder] = []
    for one in encoders:
        if isinstance(one, ImageEncoder):
            said = settings.of(one.name).image
            one = replace(one, folder=said.folder, broken=said.broken, cache_mib=said.cache_mib)
        told.append(one)
    return tuple(told)


def is_picture(series: pl.Series, kind: str | None) -> bool:
    """Whether a column of this said kind (None: nothing was said) holds pictures."""
    return kind == "image" or (kind is None and picture_form(series) is not None)


def picture_stamps(
    frame: pl.DataFrame, inputs: Sequence[str], settings: DataSettings, kinds: Mapping[str, str], folder: Path | None
) -> list[str]:
    """What tells the picture files behind a table's cells from others; empty where there are none."""
    stamps = []
    for name in inputs:
        series = frame[name]
        if (series.dtype == pl.String or is_file_struct(series.dtype)) and is_picture(series, kinds.get(name)):
            cells = PictureCells(series, folders_of(settings.of(name).image.folder, folder))
            stamps.append(f"{name}:{cells.stamp()}")
    return stamps


def pictures_beside(frame: pl.DataFrame, settings: DataSettings) -> Iterator[str]:
    """The columns of pictures for which no folder was said."""
    for name in frame.columns:
        if settings.of(name).image.folder is None and is_picture(frame[name], (settings.kinds or {}).get(name)):
            yield name


def from_one_folder(table: Table, columns: Iterable[str]) -> Table:
    """The table with the paths in these columns, in rows of files that lie elsewhere than in `table.folder`, written out in full.

    A path changes only where it names a picture beside its file; others are looked for as ever.
    """
    if sum(rows for _, rows in table.files) != len(table) or all(
        path.parent == table.folder for path, _ in table.files
    ):
        return table
    folders = [path.parent for path, rows in table.files for _ in range(rows)]
    changed: list[pl.Series | pl.Expr] = []
    for name in columns:
        series = table.frame[name]
        if series.dtype == pl.String:
            changed.append(_in_full(PictureCells(series), series, folders, table.folder))
        elif is_file_struct(series.dtype) and "path" in series.struct.fields:
            parts = series.struct.unnest()
            named = pl.col("bytes").is_null()  # with bytes, a path is but a name
            read = parts.select(pl.when(named).then("path")).to_series()
            found = _in_full(PictureCells(series), read, folders, table.folder)
            changed.append(pl.col(name).struct.with_fields(path=found.fill_null(parts["path"])))
    return replace(table, frame=table.frame.with_columns(changed))


def _in_full(cells: PictureCells, paths: pl.Series, folders: Sequence[Path], known: Path | None) -> pl.Series:
    """The paths, those that name a picture beside their row's own file, in a folder that is not known, written out in full."""
    moved = [
        path if path is None or folder == known or cells.at(folder / path) is None else str((folder / path).absolute())
        for folder, path in zip(folders, paths, strict=True)
    ]
    return pl.Series(paths.name, moved, dtype=pl.String)


def comparable(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The frame with a hash in place of each picture's cell, so that rows can be compared whatever holds their pictures."""
    changed = []
    for column in columns:
        series = frame[column.name]
        if column.kind != "image" or series.dtype in (pl.String, pl.Binary):
            continue
        if isinstance(series.dtype, pl.Struct):
            parts = series.struct.unnest()
            held = [name for name in ("bytes", "path") if name in parts.columns]
            changed.append(parts[held].hash_rows(seed=0).alias(column.name))
        else:
            cells = [None if cell is None else _mark(cell) for cell in _cells(series)]
            changed.append(pl.Series(column.name, cells, dtype=pl.Binary))
    return frame.with_columns(changed) if changed else frame


def _mark(cell: NDArray[np.generic]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(cell).tobytes(), digest_size=16).digest()


def _cells(series: pl.Series) -> list[NDArray[np.generic] | None]:
    held = iter(series.drop_nulls().to_numpy()) if series.null_count() < len(series) else iter(())
    return [next(held) if one else None for one in series.is_not_null()]
