"""Presets: a whole training under one word, for those who do not want to know the names of its parts.

A preset is a partial config, chosen by the number of rows. It lies under the user's own: whatever the config says itself stays as it
is, and the run's config.yaml holds every value that was filled in. Nothing is learnt from the data here, and nothing is searched for.
"""

from __future__ import annotations

import glob
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cotrain.core.errors import ConfigError, unknown

PRESETS = ("fast", "good", "best")

SECONDS = {"fast": 20.0, "good": 120.0, "best": 1200.0}
"""The time limit of each network's training where none is given."""

_STEPS = {"fast": 2_000, "good": 12_000, "best": 24_000}
"""About how many steps a training makes at most, where its time allows."""

UNKNOWN = 1000
_CHUNK = 1 << 24


def preset(name: str, rows: int) -> dict[str, Any]:
    """The config behind a preset's name for a table of so many rows: encoder, balance and train.

    fast: a multilayer perceptron. good: an ensemble of 8 networks in one (TabM) on piecewise linear embeddings of the numbers.
    best: the same with more members, wider, and averaged weights. All anneal the learning rate until the steps or the time are used up,
    and keep the epoch that was best on the validation rows.

    Raises ConfigError for an unknown name.

    >>> preset("good", 50_000)["train"]["batch_size"], preset("good", 500)["train"]["batch_size"]
    (512, 64)
    """
    if name not in PRESETS:
        raise ConfigError("preset: " + unknown("preset", name, PRESETS))
    batch = batch_size(rows)
    train = {
        "epochs": epochs(rows, batch, _STEPS[name]),
        "batch_size": batch,
        "optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.03},
        "schedule": {"name": "cosine"},
        "early_stopping": None,
        "time_limit": SECONDS[name],
    }
    if name == "fast":
        return {"encoder": {"name": "mlp", "widths": [128, 128], "dropout": 0.1}, "train": train}
    large = name == "best"
    encoder = {
        "name": "tabm",
        "members": 16 if large else 8,
        "widths": [384, 384] if large else [256, 256],
        "dropout": 0.2 if rows < 20_000 else 0.1,
        "numbers": {"name": "piecewise_linear", "bins": bins(rows)},
    }
    return {"encoder": encoder, "train": train}


def batch_size(rows: int) -> int:
    """Rows of a step: a power of two near a hundredth of the table, from 64 to 512.

    >>> [batch_size(rows) for rows in (500, 15_000, 10**6)]
    [64, 128, 512]
    """
    return next(size for size in (64, 128, 256, 512) if size == 512 or rows < 100 * size * 1.5)


def epochs(rows: int, batch: int, steps: int) -> int:
    """So many epochs that about `steps` steps are made, from 10 to 200.

    >>> epochs(500, 64, 12_000), epochs(10**6, 512, 12_000)
    (200, 10)
    """
    return min(200, max(10, round(steps * batch / max(rows, 1))))


def bins(rows: int) -> int:
    """Bins of a number's piecewise linear embedding: fewer where there are few rows to tell them apart.

    >>> [bins(rows) for rows in (100, 2_000, 10**5)]
    [4, 16, 48]
    """
    return min(48, max(4, round(rows**0.36)))


def with_preset(tree: Mapping[str, Any], name: str, rows: int) -> dict[str, Any]:
    """The user's config with the preset's values under it: an encoder is taken whole, `train` key by key.

    >>> found = with_preset({"tasks": {}, "train": {"batch_size": 32}}, "fast", 1000)
    >>> found["train"]["batch_size"], found["train"]["time_limit"], found["encoder"]["name"]
    (32, 20.0, 'mlp')
    """
    filled = preset(name, rows)
    out = {**{key: value for key, value in filled.items() if key != "train"}, **tree}
    own = tree.get("train") or {}
    if not isinstance(own, Mapping):
        return out
    out["train"] = {**filled["train"], **own}
    optimizer = own.get("optimizer")
    if isinstance(optimizer, Mapping) and optimizer.get("name", "adamw") == "adamw":
        out["train"]["optimizer"] = {**filled["train"]["optimizer"], **optimizer}
    return out


def rows_in(data: Any, folder: Path | None, table: Any) -> int:
    """About how many rows a config speaks of: those of `table` where it came from memory, else those of the files `data` names.

    Text files are counted by their lines. Only the size of a training depends on it, so that a header makes no difference; where it
    cannot be told it is 1,000, and whatever is wrong with the data is answered by those who read them.

    >>> rows_in(None, None, {"x": [1, 2, 3], "y": [0, 1, 0]})
    3
    """
    if table is not None:
        columns = list(table.values()) if isinstance(table, Mapping) else [table]
        return max((len(one) for one in columns if hasattr(one, "__len__")), default=UNKNOWN)
    path = data.get("path") if isinstance(data, Mapping) else data
    words = [path] if isinstance(path, str | Path) else path if isinstance(path, list | tuple) else []
    found = [Path(one) for word in words for one in glob.glob(str((folder or Path.cwd()) / str(word)))]
    try:
        return sum(_rows(one) for one in found) or UNKNOWN
    except (OSError, EOFError, ValueError, pl.exceptions.PolarsError):
        return UNKNOWN


def _rows(path: Path) -> int:
    ending = path.suffix.lower()
    if ending in (".parquet", ".pq"):
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    if ending in (".arrow", ".ipc", ".feather"):
        return int(pl.scan_ipc(path).select(pl.len()).collect().item())
    lines = 0
    with gzip.open(path) if ending == ".gz" else path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            lines += chunk.count(b"\n")
    return lines
