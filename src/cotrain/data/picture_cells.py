"""Where the picture of each row lies: in a file or a zip, in bytes of the table, in an array.

Cells of a column may be words (paths), bytes, a struct of `bytes` and `path` as Hugging Face's data sets have it, or arrays [H, W] or [H, W, C].
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError
from cotrain.data.packed import ZIP_ERRORS
from cotrain.data.picture_decoding import BrokenPictureError, Raw

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".bmp",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".jp2",
    ".ico",
    ".avif",
)
"""What names of picture files end in."""

_BEGINNINGS = (
    b"\x89PNG\r\n",
    b"\xff\xd8\xff",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"P5",
    b"P6",
    b"\x00\x00\x00\x0cjP",
)
_LOOKED_AT = 1000


def is_picture_name(name: str) -> bool:
    """Whether a file's name ends as a picture's does."""
    return name.lower().endswith(ENDINGS)


def begins_like_picture(raw: bytes) -> bool:
    """Whether bytes begin as PNG, JPEG, GIF, BMP, TIFF, WebP, PNM or JPEG 2000 do."""
    return raw.startswith(_BEGINNINGS) or (raw[:4] == b"RIFF" and raw[8:12] == b"WEBP")


def picture_form(series: pl.Series) -> str | None:
    """What a column that looks like pictures holds, in a few words; None for any other column.

    >>> picture_form(pl.Series(["a/1.png", None, "a/2.JPG"])), picture_form(pl.Series(["a", "b"]))
    ('paths of pictures', None)
    """
    kind = series.dtype
    if isinstance(kind, pl.Array):
        fits = _is_picture_shape(kind.shape) and (_leaf(kind).is_numeric() or _leaf(kind) == pl.Boolean)
        return f"arrays of {' x '.join(map(str, kind.shape))}" if fits and series.null_count() < len(series) else None
    held = series.drop_nulls()
    if not len(held):
        return None
    if kind == pl.String:
        if not is_picture_name(held[0]):
            return None
        ending = held.str.to_lowercase().str.contains(rf"\.({'|'.join(one[1:] for one in ENDINGS)})$")
        return "paths of pictures" if ending.all() else None
    if kind == pl.Binary:
        return "bytes of pictures" if all(map(begins_like_picture, held.head(_LOOKED_AT))) else None
    if is_file_struct(kind):
        cells = [cell for cell in held.head(_LOOKED_AT).to_list() if cell.get("bytes") or cell.get("path")]
        fits = [
            begins_like_picture(cell.get("bytes") or b"") or is_picture_name(cell.get("path") or "") for cell in cells
        ]
        return "files of pictures" if fits and all(fits) else None
    return None


def is_file_struct(dtype: Any) -> bool:
    """Whether cells are structs of bytes and a path."""
    names = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
    return names.get("bytes") == pl.Binary or (names.get("path") == pl.String and "bytes" in names)


class PictureCells:
    """The cells of one column as pictures to be decoded, row by row, from any thread.

    folders: where relative paths are looked for, in this order, each a folder or a zip file; then as they stand.
    Raises DataError, naming the column, for cells that cannot be pictures.
    """

    def __init__(self, series: pl.Series, folders: Sequence[Path] = ()) -> None:
        self.name, self.series, self.folders = series.name, series, tuple(folders)
        kind = series.dtype
        self.paths = kind == pl.String or is_file_struct(kind)
        arrays = isinstance(kind, pl.Array) and (_leaf(kind).is_numeric() or _leaf(kind) == pl.Boolean)
        if not (self.paths or arrays or kind in (pl.Binary, pl.Null)):
            raise DataError(
                f"column '{series.name}': paths, bytes or arrays of pictures are expected, got cells of type {kind}; "
                "give the paths, or say another kind in data.kinds"
            )
        self.present: NDArray[np.bool_] = series.is_not_null().to_numpy()
        self._arrays: NDArray[Any] | None = None
        self._places = np.cumsum(self.present) - 1
        if arrays:
            self._arrays = series.drop_nulls().to_numpy()
        self._zips: dict[Path, zipfile.ZipFile | None] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.series)

    def raw(self, row: int) -> Raw:
        """The picture of a row that has one. Raises BrokenPictureError where there is no such file."""
        if self._arrays is not None:
            cells: NDArray[Any] = self._arrays[self._places[row]]
            return cells
        cell = self.series[row]
        if isinstance(cell, dict):
            held = cell.get("bytes")
            cell = held if held is not None else cell.get("path")
        if isinstance(cell, bytes):
            return cell
        if not cell:
            raise BrokenPictureError("neither bytes nor a path")
        return self._read(cell)

    def label(self, row: int) -> str:
        """What tells a row's picture from others in a message: its path, or nothing."""
        cell = self.series[row] if self.paths else None
        name = cell.get("path") if isinstance(cell, dict) else cell
        return f" ('{name}')" if name else ""

    def stamp(self) -> str:
        """A fingerprint of the files behind paths: names, sizes and times of change. Empty where the table itself holds the pictures."""
        if not self.paths:
            return ""
        digest = hashlib.blake2b(digest_size=20)
        for cell in self.series.to_list():
            name = (
                cell if isinstance(cell, str) or cell is None else cell.get("path") if not cell.get("bytes") else None
            )
            where = None if name is None else self._found(name)
            about = None if where is None else where[0].stat()
            digest.update(f"{name}:{about and (about.st_size, about.st_mtime_ns)}\n".encode())
        return digest.hexdigest()

    def _read(self, name: str) -> bytes:
        if name.startswith(("http://", "https://")):
            raise BrokenPictureError("an address; pictures are read from files, so fetch them first")
        where = self._found(name)
        if where is None:
            looked = ", ".join(f"'{folder}'" for folder in self.folders) or f"'{Path.cwd()}'"
            raise BrokenPictureError(f"no such file in {looked}")
        path, inner = where
        try:
            if inner is None:
                return path.read_bytes()
            opened = self._zip(path)
            return b"" if opened is None else opened.read(inner)
        except ZIP_ERRORS as error:
            raise BrokenPictureError(f"cannot be read: {error}") from error

    def _found(self, name: str) -> tuple[Path, str | None] | None:
        """(file, None), or (zip file, name inside it); None where there is neither."""
        places = (*(folder / name for folder in self.folders), Path(name))
        return next((found for found in map(self.at, places) if found is not None), None)

    def at(self, path: Path) -> tuple[Path, str | None] | None:
        """(file, None), or (zip file, name inside it) where the path leads into one; None where there is neither."""
        return (path, None) if path.is_file() else self._in_zip(path)

    def _in_zip(self, path: Path) -> tuple[Path, str] | None:
        for parent in path.parents:
            if parent.suffix.lower() == ".zip":
                inner = path.relative_to(parent).as_posix()
                opened = self._zip(parent)
                if opened is not None and inner in opened.NameToInfo:
                    return parent, inner
        return None

    def _zip(self, path: Path) -> zipfile.ZipFile | None:
        with self._lock:
            if path not in self._zips:
                try:
                    self._zips[path] = zipfile.ZipFile(path) if path.is_file() else None
                except (OSError, zipfile.BadZipFile):
                    self._zips[path] = None
            return self._zips[path]


def _is_picture_shape(shape: Sequence[int]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def _leaf(dtype: Any) -> Any:
    while isinstance(dtype, pl.Array | pl.List):
        dtype = dtype.inner
    return dtype
