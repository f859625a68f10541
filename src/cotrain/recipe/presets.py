"""Presets: a whole training under one word, for those who do not want to know the names of its parts.

A preset is a partial config, chosen by the number of rows. It lies under the user's own: whatever the config says itself stays as it
is, and the run's config.yaml holds every value that was filled in. Nothing is learnt from the data here, and nothing is searched for.
"""

from __future__ import annotations

import glob
import gzip
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from cotrain.core.errors import ConfigError, unknown

PRESETS = ("fast", "good", "best")

SECONDS = {"fast": 20.0, "good": 120.0, "best": 1200.0}
"""The time limit of each network's training where none is given."""

UNKNOWN = 1000
_CHUNK = 1 << 24


def preset(name: str, rows: int) -> dict[str, Any]:
    """The config behind a preset's name for a table of so many rows: encoder, head and train.

    fast: a multilayer perceptron with a linear path beside it (`wide_deep`). good: an ensemble of 4 to 8 networks in one (TabM) on
    piecewise-linear embeddings of the numbers, with the same path. best: the same with twice the members, wider and longer. The learning
    rate rises over a tenth of the steps and falls along a cosine until the epochs or the time are used up; the epoch that was best on the
    validation rows is kept.

    Raises ConfigError for an unknown name.

    >>> preset("good", 50_000)["train"]["batch_size"], preset("good", 500)["encoder"]["members"]
    (512, 8)
    """
    if name not in PRESETS:
        raise ConfigError("preset: " + unknown("preset", name, PRESETS))
    train = {
        "epochs": epochs(rows, {"fast": 0.4, "good": 1.0, "best": 1.5}[name]),
        "batch_size": batch_size(rows),
        "optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.03},
        "schedule": {"name": "cosine", "warmup": 0.1},
        "early_stopping": None,
        "time_limit": SECONDS[name],
    }
    dropout = 0.2 if rows < 5_000 else 0.1
    if name == "fast":
        return {
            "encoder": {"name": "mlp", "widths": [128, 128], "dropout": dropout},
            "head": "wide_deep",
            "train": train,
        }
    times = 2 if name == "best" else 1
    encoder = {
        "name": "tabm",
        "members": (8 if rows < 20_000 else 4) * times,
        "widths": [384, 384] if name == "best" else [256, 256],
        "dropout": dropout,
        "numbers": {"name": "piecewise_linear", "bins": bins(rows)},
    }
    return {"encoder": encoder, "head": "wide_deep", "train": train}


def batch_size(rows: int) -> int:
    """Rows of a step, from 64 to 512: a step of a large table can look at more of them.

    >>> [batch_size(rows) for rows in (500, 10_000, 10**6)]
    [64, 128, 512]
    """
    return next(size for size, below in ((64, 2_000), (128, 20_000), (256, 50_000), (512, math.inf)) if rows < below)


def epochs(rows: int, times: float = 1.0) -> int:
    """How often a training goes through the rows, from 5 to 150 times: about 2,500 / rows^0.45 (more rows, fewer rounds, more steps).

    >>> [epochs(rows) for rows in (100, 1_000, 10_000, 10**5, 10**7)]
    [150, 112, 40, 14, 5]
    """
    return min(150, max(5, round(times * 2500 / math.pow(max(rows, 1), 0.45))))


def bins(rows: int) -> int:
    """Bins of a number's piecewise-linear embedding, from 4 to 48: fewer where there are few rows to tell them apart.

    >>> [bins(rows) for rows in (10, 100, 2_000, 10**5)]
    [4, 5, 15, 48]
    """
    return min(48, max(4, round(math.pow(rows, 0.36))))


def with_preset(tree: Mapping[str, Any], name: str, rows: int) -> dict[str, Any]:
    """The user's config with the preset's values under it: encoder and head are taken whole, `train` key by key.

    A preset's head belongs to its encoder: beside an encoder of the user's own (of pictures, say) it is not filled in.

    >>> found = with_preset({"tasks": {}, "train": {"batch_size": 32}}, "fast", 1000)
    >>> found["train"]["batch_size"], found["train"]["time_limit"], found["encoder"]["name"]
    (32, 20.0, 'mlp')
    """
    filled = preset(name, rows)
    out = {**{key: filled[key] for key in ("encoder", "head") if "encoder" not in tree}, **tree}
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
