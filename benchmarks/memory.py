"""Tables larger than memory: rows a second and peak memory of reading and encoding, of training, and of predicting, as rows grow.

    python benchmarks/memory.py [--rows 1000000 5000000 20000000] [--epochs 1] [--folder /tmp]

Each size is made once (18 columns of numbers, a yes/no and an amount, as parquet, in pieces; not timed). Then, in a process of its own each:
the file is read piece by piece and encoded into shards; a network (one layer of 64, batches of 4,096) is trained on them, two tasks, and
scored on 2 % of the rows; and the file's rows are predicted into another parquet file. The peak is the process's high-water mark, with
interpreter, libraries and the mapped pages of files; `before` is what it was when the libraries were loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STEP = 250_000
INPUTS = 18


def make(folder: Path, rows: int) -> dict[str, float]:
    """Write the table, piece by piece."""
    import numpy as np
    import polars as pl
    from polars.io.plugins import register_io_source

    schema = {f"x{place}": pl.Float64 for place in range(INPUTS)} | {"bought": pl.String, "amount": pl.Float64}

    def pieces(columns: Any, predicate: Any, count: Any, size: Any) -> Iterator[pl.DataFrame]:
        random = np.random.default_rng(0)
        for start in range(0, rows, STEP):
            x = random.normal(size=(min(STEP, rows - start), INPUTS))
            noise = random.normal(size=(2, len(x)))
            frame = pl.DataFrame({f"x{place}": x[:, place] for place in range(INPUTS)})
            bought = pl.Series("bought", np.where(x[:, 0] + x[:, 1] * x[:, 2] + noise[0] > 0, "yes", "no"))
            yield frame.with_columns(bought, pl.Series("amount", 3 * x[:, 3] + x[:, 4] ** 2 + noise[1]))

    register_io_source(pieces, schema=schema).sink_parquet(folder / "rows.parquet")
    return {"MiB of parquet": (folder / "rows.parquet").stat().st_size / 2**20}


def settings(folder: Path, epochs: int) -> Any:
    """The config."""
    from cotrain.recipe.config import config_from_dict

    return config_from_dict(
        {
            "data": {
                "path": str(folder / "rows.parquet"),
                "stream": True,
                "cache": str(folder / "cache"),
                "split": {"fractions": [0.98, 0.01, 0.01]},
            },
            "tasks": {"bought": "binary", "amount": "regression"},
            "encoder": {"name": "mlp", "widths": [64]},
            "train": {"epochs": epochs, "batch_size": 4096, "early_stopping": None},
        }
    )


def encode(folder: Path, rows: int, epochs: int) -> dict[str, float]:
    """Read and encode into shards."""
    from cotrain.recipe.rows import load_rows

    clock = Clock()
    load_rows(settings(folder, epochs))
    found = clock.figures(rows)
    size = sum(file.stat().st_blocks * 512 for file in (folder / "cache").rglob("*.bin"))
    return found | {"MiB of shards": size / 2**20}


def draw(folder: Path, rows: int, epochs: int) -> dict[str, float]:
    """Draw the batches of one epoch, without a network."""
    import torch

    from cotrain.recipe.rows import load_rows

    torch.set_num_threads(1)
    data = load_rows(settings(folder, epochs)).data
    clock = Clock()
    return clock.figures(sum(len(batch) for batch in data.batches("train", 4096, seed=0, shuffle=True)))


def train(folder: Path, rows: int, epochs: int) -> dict[str, float]:
    """Train on the shards and score; preparing is a look into the cache."""
    from cotrain.recipe.run import train

    clock = Clock()
    run = train(settings(folder, epochs), folder=folder / "run")
    found, scores = clock.figures(rows * epochs), run.metrics["splits"]["test"]
    return found | {"auc": scores["bought"]["auc"], "r2": scores["amount"]["r2"]}


def predict(folder: Path, rows: int, epochs: int) -> dict[str, float]:
    """Predict every row of the file into another."""
    from cotrain.cli.predict import write
    from cotrain.recipe.run import load

    clock = Clock()
    count = write(load(folder / "run").predict_pieces(folder / "rows.parquet"), folder / "answers.parquet")
    if count != rows:
        raise SystemExit(f"{count} answers for {rows} rows")
    return clock.figures(rows)


class Clock:
    """What every part answers: rows a second by the clock and of CPU (all threads), and the process's high-water mark."""

    def __init__(self) -> None:
        self.before, self.began, self.busy = high_water(), time.perf_counter(), time.process_time()

    def figures(self, rows: int) -> dict[str, float]:
        return {
            "rows a second": rows / (time.perf_counter() - self.began),
            "rows a CPU second": rows / (time.process_time() - self.busy),
            "peak MiB": high_water(),
            "before": self.before,
        }


def high_water() -> float:
    """The most memory this process ever held, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


PARTS: dict[str, Callable[[Path, int, int], dict[str, float]]] = {
    "make": lambda folder, rows, epochs: make(folder, rows),
    "encode": encode,
    "draw": draw,
    "train": train,
    "predict": predict,
}


def measured(part: str, folder: Path, rows: int, epochs: int) -> dict[str, float]:
    """One part in a process of its own."""
    call = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--rows", str(rows), "--epochs", str(epochs)]  # fmt: skip
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(results: dict[int, dict[str, dict[str, float]]]) -> str:
    """A Markdown table: a line a part, rows a second and peak for every size, and the largest peak over the smallest."""
    sizes = list(results)
    head = ["part"]
    for what in ("rows a second", "rows a CPU second", "peak MiB"):
        head += [f"{what}, {rows:,}" for rows in sizes]
    head.append("largest peak over smallest")
    lines = [head, ["---"] * len(head)]
    for part in ("encode", "draw", "train", "predict"):
        one = [results[rows][part] for rows in sizes]
        peaks = [figure["peak MiB"] for figure in one]
        lines.append(
            [part]
            + [f"{figure[what]:,.0f}" for what in ("rows a second", "rows a CPU second") for figure in one]
            + [f"{peak:,.0f}" for peak in peaks]
            + [f"{max(peaks) / min(peaks):.2f}"]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the table and its shards lie (twice the table's size)")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.folder, options.rows[0], options.epochs)))
        return
    results: dict[int, dict[str, dict[str, float]]] = {}
    for rows in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results[rows] = {}
            for part in PARTS:
                results[rows][part] = measured(part, Path(folder), rows, options.epochs)
                words = "  ".join(f"{name} {value:,.2f}" for name, value in results[rows][part].items())
                print(f"{rows:,} rows, {part}: {words}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
