"""State as named tensors and plain JSON, and files that are either whole or absent. No pickle anywhere.

`flatten` turns a nested state dict into ({path: tensor}, JSON-able tree with references); `unflatten` is its inverse.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

_TENSOR = "__tensor__"
_PAIRS = "__pairs__"


def flatten(state: Any) -> tuple[dict[str, Tensor], Any]:
    """({name: tensor}, tree): tensors are replaced by references; keys that are no strings are kept with their type.

    >>> import torch
    >>> tensors, tree = flatten({"step": 3, "state": {0: {"m": torch.zeros(2)}}})
    >>> list(tensors), unflatten(tensors, json.loads(json.dumps(tree)))["state"][0]["m"].tolist()
    (['state.0.m'], [0.0, 0.0])
    """
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            name = ".".join(path) or "value"
            while name in tensors:
                name += "_"
            tensors[name] = value
            return {_TENSOR: name}
        if isinstance(value, Mapping):
            if all(isinstance(key, str) for key in value) and not set(value) & {_TENSOR, _PAIRS}:
                return {key: walk(one, (*path, key)) for key, one in value.items()}
            strange = [key for key in value if not isinstance(key, (str, int, float))]
            if strange:
                raise TypeError(
                    f"state at '{'.'.join(path)}' has the key {strange[0]!r}; only words and numbers are kept"
                )
            return {_PAIRS: [[key, walk(one, (*path, str(key)))] for key, one in value.items()]}
        if isinstance(value, (list, tuple)):
            return [walk(one, (*path, str(index))) for index, one in enumerate(value)]
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise TypeError(
            f"state at '{'.'.join(path)}' is a {type(value).__name__}; only tensors, numbers, words, lists and dicts are kept"
        )

    return tensors, walk(state, ())


def unflatten(tensors: Mapping[str, Tensor], tree: Any) -> Any:
    """The nested state `flatten` was given (tuples come back as lists)."""
    if isinstance(tree, dict):
        if set(tree) == {_TENSOR}:
            return tensors[tree[_TENSOR]]
        if set(tree) == {_PAIRS}:
            return {key: unflatten(tensors, one) for key, one in tree[_PAIRS]}
        return {key: unflatten(tensors, one) for key, one in tree.items()}
    if isinstance(tree, list):
        return [unflatten(tensors, one) for one in tree]
    return tree


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path` at once when the block ends well.

    The content is on disk before the name is (fsync of file and folder), so a power cut leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    temporary.touch(exist_ok=False)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        temporary.chmod(mode)  # whoever writes may put a file of its own in place, closed to others
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON as a whole file: stable key order as given, NaN and infinities as null."""
    with whole_file(path) as temporary:
        temporary.write_text(
            json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )


def plain(value: Any) -> Any:
    """The same value with everything JSON cannot hold made plain: tensors as lists, paths as words, NaN and infinities as None."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    listed: Callable[[], Any] | None = getattr(value, "tolist", None)  # NumPy's numbers and arrays
    return plain(listed()) if listed is not None else str(value)
