"""A folder, or a zip, of pictures as a table: a row a picture, its path, and the name of the sub-folder it lies in as its label.

    pictures/cat/001.png            path                      label
    pictures/dog/002.jpg    ->      pictures/cat/001.png      cat
                                    pictures/dog/002.jpg      dog

Where the outermost sub-folders are called train and test (valid, val, validation too), a column `split` says so, and labels are those of
the folders below. Pictures that lie in no sub-folder have no label, and a folder of such only has no column of labels.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import polars as pl

from cotrain.core.errors import DataError
from cotrain.data.picture_cells import is_picture_name

SPLITS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid", "test": "test", "testing": "test",
}  # fmt: skip
"""{name of an outermost sub-folder: the split it is}."""


def holds_pictures(path: Path) -> bool:
    """Whether a path is a folder, or a zip file, in which pictures lie.

    A zip without them may be something else: NumPy's npz are zips.
    """
    if path.is_dir():
        return any(is_picture_name(name) for _, _, names in os.walk(path) for name in names)
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as opened:
        return any(map(is_picture_name, opened.namelist()))


def folder_table(path: Path) -> tuple[pl.DataFrame, list[str], str]:
    """(columns path and label, and split where the folders tell it; notes; a fingerprint of the files) of a folder or zip of pictures.

    Rows are in order of their paths. Raises DataError if there is no picture.
    """
    names, mark = _in_folder(path) if path.is_dir() else _in_zip(path)
    pictures = sorted(name for name in names if _shown(name) and is_picture_name(name))
    if not pictures:
        raise DataError(f"'{path}' holds no picture; its files are: {', '.join(sorted(names)[:5]) or 'none'}")
    others = len([name for name in names if _shown(name)]) - len(pictures)
    notes = [f"{others} files in '{path}' are no pictures by their names and were left out"] if others else []
    parts = [name.split("/")[:-1] for name in pictures]
    columns: dict[str, list[str | None]] = {"path": [str(path / name) for name in pictures]}
    split = [SPLITS.get(one[0].lower()) if one else None for one in parts]
    told = all(split) and len(set(split)) > 1
    labels = ["/".join(one[1:] if told else one) or None for one in parts]
    if any(labels):
        columns["label"] = labels
        count = len({one for one in labels if one})
        notes.append(f"{len(pictures)} pictures in {count} sub-folders, whose names are the column 'label'")
        without = labels.count(None)
        notes += [f"{without} pictures lie in no sub-folder and have no label"] if without else []
    if told:
        columns["split"] = split
        notes.append("the column 'split' holds the outermost folders: split: {method: column, by: split} keeps to them")
    return pl.DataFrame(columns), notes, mark


def _in_folder(path: Path) -> tuple[list[str], str]:
    found, digest = [], hashlib.blake2b(digest_size=20)
    for folder, folders, files in os.walk(path, followlinks=True):
        folders.sort()
        for name in sorted(files):
            one = Path(folder) / name
            found.append(one.relative_to(path).as_posix())
            about = one.stat()
            digest.update(f"{found[-1]}:{about.st_size}:{about.st_mtime_ns}\n".encode())
    return found, digest.hexdigest()


def _in_zip(path: Path) -> tuple[list[str], str]:
    with zipfile.ZipFile(path) as opened:
        files = [one for one in opened.infolist() if not one.is_dir()]
    mark = hashlib.blake2b("\n".join(f"{one.filename}:{one.CRC}" for one in files).encode(), digest_size=20)
    return [one.filename for one in files], mark.hexdigest()


def _shown(name: str) -> bool:
    """Whether no part of a path is hidden (a leading dot, or macOS's folder beside zipped files)."""
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
