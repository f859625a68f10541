"""Whether a table is too large to be read whole: what that would take, by the files' sizes and kinds, against what the machine has.

The factor of csv is rounded up from the peak of one measured table (`benchmarks/table_million.py`: read, typed, cleaned and encoded); those of
the other formats are estimates.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from cotrain.data.cifar_batches import holds_batches
from cotrain.data.picture_folders import holds_pictures
from cotrain.data.pieces import STREAMED
from cotrain.data.read import format_of, found
from cotrain.data.settings import ReadSettings

SHARE = 0.25
"""Of the machine's memory: what a table may take before it is read piece by piece."""

PACKED = 5
"""How much larger than its file a gzip table is taken to be."""

MANY = 1 << 30
"""Rows to be predicted are read piece by piece if they would take more than a quarter of these bytes; it costs nothing."""

_FACTORS = {"csv": 6, "jsonl": 6, "arrow": 3, "npz": 3}
_CELL = 24
"""Bytes a cell of a parquet file takes at the peak, as numbers and as encoded."""

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_needed(paths: Sequence[Path], reading: ReadSettings) -> int:
    """Bytes that reading and encoding whole files would take, about; 0 for files that are not there or of no known kind."""
    total = 0
    for path in paths:
        if not path.is_file():
            continue
        size, form = path.stat().st_size, format_of(path, reading)
        if form == "parquet":
            with suppress(pl.exceptions.PolarsError, OSError):
                scan = pl.scan_parquet(path)
                total += scan.select(pl.len()).collect().item() * len(scan.collect_schema()) * _CELL
            continue
        packed = PACKED if path.suffix.lower() == ".gz" else 1
        total += size * packed * _FACTORS[form]
    return total


def machine_memory() -> int | None:
    """Bytes of memory this process may use: the machine's, or less where its control group says so; None where nobody knows."""
    found: list[int] = []
    with suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(Path(limit).read_text(encoding="ascii")))
    return min((one for one in found if one > 0), default=None)


def too_large(paths: Sequence[Path], reading: ReadSettings, *, memory: int | None = None) -> bool:
    """Whether reading the files whole would take more than `SHARE` of the memory, and they can be read piece by piece.

    memory: bytes, in place of what the machine has.
    """
    memory = machine_memory() if memory is None else memory
    if (
        memory is None
        or any(map(holds_batches, paths))
        or any(path.is_file() and format_of(path, reading) not in STREAMED for path in paths)
    ):
        return False
    return memory_needed(paths, reading) > SHARE * memory


def many_rows(path: Path | str, reading: ReadSettings) -> bool:
    """Whether the files behind a path or a glob are better read piece by piece, wherever memory would do; a folder of pictures is not.

    Raises DataError if there is no such file.
    """
    alone = holds_pictures(Path(path)) or holds_batches(Path(path))
    return not alone and too_large(found(path), reading, memory=MANY)
