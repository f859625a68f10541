"""CIFAR-10 and CIFAR-100 as their makers pack them: pickled batches in a folder (`cifar-10-batches-py`) or its tar.gz.

A pickle may run anything, and these come from the internet. What reads them here knows three names, none of which does more than hold
numbers: a NumPy array, its kind of number, and the function that makes one. Every other name is refused before anything is called.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, and the description beside the files.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.errors import DataError

TRAIN = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "train")
TEST = ("test_batch", "test")
NAMES = ("batches.meta", "meta")
_KNOWN = {*TRAIN, *TEST, *NAMES}
_LABELS = {
    b"labels": ("label", b"label_names"),
    b"fine_labels": ("label", b"fine_label_names"),
    b"coarse_labels": ("group", b"coarse_label_names"),
}
_ENDINGS = (".tar.gz", ".tgz", ".tar")
_SIZE = (3, 32, 32)
_NUMBERS = ("u1", "i1", "u2", "i2", "i4", "i8", "u4", "u8", "f4", "f8")


def holds_batches(path: Path) -> bool:
    """Whether a path is a folder of such batches, or a tar with one (told by its name: it is not opened)."""
    if path.is_dir():
        return (path / TRAIN[0]).is_file() or ((path / "meta").is_file() and (path / "train").is_file())
    return path.is_file() and path.name.lower().startswith("cifar") and path.name.lower().endswith(_ENDINGS)


def cifar_table(path: Path) -> tuple[pl.DataFrame, list[str], str]:
    """(columns picture [N, 32, 32, 3], label (and group, of CIFAR-100) and split; notes; a fingerprint of the files).

    Raises DataError for files that are missing, damaged, or hold anything but numbers and words.
    """
    files = _in_folder(path) if path.is_dir() else _in_tar(path)
    found = [(split, name) for split, names in (("train", TRAIN), ("test", TEST)) for name in names if name in files]
    if not any(split == "train" for split, _ in found):
        raise DataError(
            f"'{path}': batches called {', '.join(TRAIN[:2])} ... or train are expected, got {', '.join(sorted(files)) or 'none'}; "
            "unpack the archive of CIFAR-10 again"
        )
    words = next((unpickled(files[name], f"{path}: {name}") for name in NAMES if name in files), {})
    pictures: list[NDArray[np.uint8]] = []
    columns: dict[str, list[Any]] = {"split": []}
    for split, name in found:
        batch = unpickled(files[name], f"{path}: {name}")
        cells = pictures_of(batch, f"{path}: {name}")
        pictures.append(cells)
        columns["split"] += [split] * len(cells)
        for key, (column, named) in _LABELS.items():
            if key in batch:
                columns.setdefault(column, []).extend(
                    labels_of(batch[key], words.get(named), len(cells), f"{path}: {name}")
                )
    if len({len(one) for one in columns.values()}) > 1 or "label" not in columns:
        raise DataError(
            f"'{path}': every batch must hold labels for each of its pictures, but some do not; unpack the archive again"
        )
    frame = pl.DataFrame(
        [pl.Series("picture", np.concatenate(pictures)), *(pl.Series(key, one) for key, one in columns.items())]
    )
    mark = hashlib.blake2b(digest_size=20)
    for name in sorted(files):
        mark.update(name.encode() + hashlib.blake2b(files[name]).digest())
    notes = [
        f"{len(frame)} pictures of {len(found)} batches; the column 'split' says which train and which test: split: {{method: column, by: split}}"
    ]
    return frame, notes, mark.hexdigest()


def pictures_of(batch: Mapping[Any, Any], where: str) -> NDArray[np.uint8]:
    """[n, 32, 32, 3] of a batch whose rows are 1024 red, 1024 green and 1024 blue places, row by row of the picture."""
    cells = batch.get(b"data")
    if not isinstance(cells, np.ndarray) or cells.dtype != np.uint8 or cells.ndim != 2 or cells.shape[1] != 3072:
        what = f"{cells.dtype} {list(cells.shape)}" if isinstance(cells, np.ndarray) else type(cells).__name__
        raise DataError(f"'{where}': data of uint8 [rows, 3072] is expected, got {what}; unpack the archive again")
    return np.ascontiguousarray(cells.reshape(-1, *_SIZE).transpose(0, 2, 3, 1))


def labels_of(codes: Any, names: Any, rows: int, where: str) -> list[Any]:
    """One label a row: its name where names are known, else its number."""
    if not isinstance(codes, list) or len(codes) != rows or not all(isinstance(one, int) for one in codes):
        raise DataError(
            f"'{where}': one label a picture is expected ({rows}), got {len(codes) if isinstance(codes, list) else codes!r}"
        )
    if names is None:
        return codes
    if (
        not isinstance(names, list)
        or not all(isinstance(one, bytes) for one in names)
        or max(codes, default=0) >= len(names)
    ):
        raise DataError(f"'{where}': a label has no name among those beside the batches; unpack the archive again")
    return [names[code].decode("utf-8", "replace") for code in codes]


def unpickled(raw: bytes, where: str) -> dict[Any, Any]:
    """The dictionary in a pickle of numbers, words, lists and NumPy arrays. Raises DataError for anything else, which is not carried out.

    >>> unpickled(pickle.dumps({b"labels": [3, 1]}, protocol=2), "a batch")
    {b'labels': [3, 1]}
    """
    try:
        found = _plain(_Unpickler(io.BytesIO(raw)).load())
    except DataError as error:
        raise DataError(f"'{where}': {error}") from error
    except Exception as error:
        raise DataError(f"'{where}' is damaged ({type(error).__name__}: {error}); unpack the archive again") from error
    if not isinstance(found, dict):
        raise DataError(f"'{where}': a dictionary is expected, got {type(found).__name__}; is this a batch of CIFAR?")
    return found


class _Kind:
    """Stands for numpy.dtype: the code of a plain kind of number, and nothing that an attacker could shape."""

    def __init__(self, code: Any, align: Any = 0, copy: Any = 0) -> None:
        text = code.decode("ascii", "replace") if isinstance(code, bytes) else str(code)
        if text not in _NUMBERS:
            raise DataError(f"arrays of numbers are expected, got kind {text!r}")
        self.code, self.order = text, "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else str(state[1])
        self.order = order if order in "<>|=" else "<"


class _Array:
    """Stands for numpy.ndarray: what its pickle says of it, from which `values` makes a real one."""

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, raw = state
        if not isinstance(kind, _Kind) or not isinstance(raw, bytes):
            raise DataError("an array of numbers is expected, got one of objects")
        flat = np.frombuffer(raw, np.dtype(kind.order + kind.code))
        self.values = flat.reshape([int(one) for one in shape], order="F" if by_columns else "C")


def _array(kind: Any, shape: Any, code: Any) -> _Array:
    """Stands for numpy's _reconstruct: an empty array that its state will fill."""
    return _Array()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes in an old form."""
    return str(text).encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="bytes")

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise DataError(
                f"only numbers, words and arrays are read from pickles, but this one asks for {module_name}.{global_name}, which may run anything; "
                "it was not called. Fetch the file from a source you trust"
            ) from None


def _plain(value: Any) -> Any:
    """The same with real arrays; what is no plain value is refused."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bytes | str | int | float):
        return value
    raise DataError(f"numbers, words and arrays are expected, got {type(value).__name__}")


def _in_folder(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in sorted(_KNOWN) if (path / name).is_file()}


def _in_tar(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as opened:
            files = [one for one in opened if one.isfile() and Path(one.name).name in _KNOWN]
            return {Path(one.name).name: opened.extractfile(one).read() for one in files}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"'{path}' cannot be read as a tar: {error}; fetch it again") from error
