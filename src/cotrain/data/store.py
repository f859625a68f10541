"""Encoded tables on disk: tensors in plain files that are memory-mapped, under a name made of what they were made from.

`<folder>/<key>/` holds one file a tensor and `meta.json` with their kinds, shapes and checksums. An entry is written beside its
place and moved there at once: it is whole or absent. One that is damaged is found by size and checksum, and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.core.state import plain, write_json
from cotrain.data.sample import EncodedData

FORMAT = 3
_META = "meta.json"
_PARTS = ("values", "present", "offsets", "valid", "weight")
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Entry:
    """What a cache entry holds: the rows, and the plain JSON that was kept beside them.

    lazy: {input: [N] which rows have it} of inputs whose values are made when rows are taken; they are not in `data`.
    """

    data: EncodedData
    kept: dict[str, Any]
    lazy: dict[str, Tensor] = field(default_factory=dict)


def key_of(*parts: Any) -> str:
    """The name of an entry: a hash of everything it was made from, given as plain values, and of this file's format."""
    words = json.dumps([FORMAT, plain(list(parts))], sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(words.encode(), digest_size=16).hexdigest()


def save(folder: Path, key: str, data: EncodedData, kept: Mapping[str, Any]) -> None:
    """Write an entry; a reader sees it whole or not at all, and whoever comes second leaves the first one's entry."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".tmp", dir=folder))
    try:
        files = {name: _write(temporary / f"{name}.bin", tensor) for name, tensor in tensors_of(data).items()}
        write_json(temporary / _META, {"format": FORMAT, "source": data.source, "tensors": files, "kept": dict(kept)})
        try:
            os.rename(temporary, folder / key)
        except OSError as error:
            if not (folder / key / _META).is_file():
                raise DataError(
                    f"the cache entry '{folder / key}' cannot be written: {error}; give another data.cache"
                ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load(folder: Path, key: str) -> tuple[Entry | None, str | None]:
    """(entry, None), (None, None) if there is none, or (None, what is wrong) for a damaged one, which is taken away."""
    place = folder / key
    if not (place / _META).is_file():
        if place.exists():
            discard(place)
            return None, f"the cache entry '{key}' was incomplete and is made again"
        return None, None
    try:
        meta = json.loads((place / _META).read_text(encoding="utf-8"))
        tensors = {name: _read(place / f"{name}.bin", one) for name, one in meta["tensors"].items()}
        lazy = {_named(path.partition(".")[2]): tensors.pop(path) for path in list(tensors) if path.startswith("lazy.")}
        return Entry(data_of(tensors, meta["source"]), meta["kept"], lazy), None
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        discard(place)
        return None, f"the cache entry '{key}' was damaged ({error}) and is made again"


def discard(place: Path) -> None:
    """Take an entry away: out of its place first, so that nobody reads half of it."""
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".old", dir=place.parent))
    os.replace(place, aside / place.name)
    shutil.rmtree(aside, ignore_errors=True)


def tensors_of(data: EncodedData) -> dict[str, Tensor]:
    """{path: tensor} of everything in an `EncodedData`; of lazy inputs only which rows have them."""
    out: dict[str, Tensor] = {f"lazy.{_safe(name)}": one.present for name, one in data.lazy.items()}
    inputs = {name: one for name, one in data.inputs.items() if isinstance(one, Field)}
    for group, fields in (("input", inputs), ("target", data.targets)):
        for place, (name, one) in enumerate(fields.items()):
            for part in _PARTS:
                tensor = getattr(one, part)
                if tensor is not None:
                    out[f"{group}.{place}.{_safe(name)}.{part}"] = tensor
    if data.weight is not None:
        out["weight"] = data.weight
    return out | {f"split.{name}": rows for name, rows in data.splits.items()}


def data_of(tensors: Mapping[str, Tensor], source: str) -> EncodedData:
    """The `EncodedData` that `tensors_of` took apart."""
    groups: dict[str, dict[str, dict[str, Tensor]]] = {"input": {}, "target": {}}
    for path, tensor in tensors.items():
        group, _, rest = path.partition(".")
        if group in groups:
            _, name, part = rest.split(".")
            groups[group].setdefault(_named(name), {})[part] = tensor
    made = {
        group: {
            name: Field(parts["values"], parts["present"], *(parts.get(one) for one in _PARTS[2:]))
            for name, parts in fields.items()
        }
        for group, fields in groups.items()
    }
    splits = {path.partition(".")[2]: tensor for path, tensor in tensors.items() if path.startswith("split.")}
    return EncodedData(made["input"], made["target"], splits=splits, weight=tensors.get("weight"), source=source)


def _safe(name: str) -> str:
    return name.encode().hex()


def _named(safe: str) -> str:
    return bytes.fromhex(safe).decode()


def _write(path: Path, tensor: Tensor) -> dict[str, Any]:
    array = tensor.detach().cpu().contiguous().numpy()
    with path.open("wb") as file:
        array.tofile(file)
        file.flush()
        os.fsync(file.fileno())
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "bytes": array.nbytes,
        "crc32": _checksum(array.reshape(-1).view(np.uint8)),
    }


def _read(path: Path, one: Mapping[str, Any]) -> Tensor:
    dtype = getattr(torch, one["dtype"], None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{path.name} is of an unknown kind '{one['dtype']}'")
    size = path.stat().st_size
    if size != one["bytes"]:
        raise ValueError(f"{path.name} has {size} bytes instead of {one['bytes']}")
    if not size:
        return torch.empty(one["shape"], dtype=dtype)
    flat = torch.from_file(str(path), shared=False, size=size // dtype.itemsize, dtype=dtype)
    if _checksum(flat.numpy().view(np.uint8)) != one["crc32"]:
        raise ValueError(f"{path.name} has another checksum")
    return flat.reshape(one["shape"])


def _checksum(data: np.ndarray[Any, np.dtype[np.uint8]]) -> int:
    total = 0
    for start in range(0, len(data), _CHUNK):
        total = zlib.crc32(data[start : start + _CHUNK].data, total)
    return total
