"""One million rows x 11 columns from a csv file to encoded tensors: seconds and peak memory, each repetition in its own process.

    python benchmarks/table_million.py [--rows 1000000] [--repeats 3]

The file (made once in a temporary folder, not timed) has six columns of numbers, one of whole-number codes, three of words and one
of dates, about 5 % of the cells missing, written as empty or `?`; two of the columns are targets. What is timed is what a user
waits for: read, type, clean, split, fit, look for problems, encode; then the same once more from the cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl


def make(path: Path, rows: int) -> None:
    """Write the table."""
    random = np.random.default_rng(0)

    def holed(values: list[str] | np.ndarray, mark: str) -> pl.Series:
        words = pl.Series(values).cast(pl.String)
        holes = pl.Series(random.random(rows) < 0.05)
        return words.zip_with(~holes, pl.Series([mark])).alias("words")

    cities = np.array([f"city {place}" for place in range(300)])
    jobs = np.array(["clerk", "nurse", "teacher", "driver", "cook", "none of these"])
    start = np.datetime64("2015-01-01T00:00:00")
    columns = {f"x{place}": holed(np.round(random.normal(size=rows), 5), "") for place in range(4)}
    columns["pay"] = holed(np.round(random.lognormal(8, 1, rows), 2), "?")
    columns["code"] = pl.Series(random.integers(0, 8, rows)).cast(pl.String)
    columns["city"] = holed(cities[random.integers(0, 300, rows)], "?")
    columns["job"] = holed(np.char.add(" ", jobs[random.integers(0, 6, rows)]), "")
    columns["when"] = pl.Series((start + random.integers(0, 10**8, rows).astype("timedelta64[s]")).astype(str))
    columns["yes"] = pl.Series(np.where(random.random(rows) < 0.3, "yes", "no"))
    columns["age"] = holed(random.integers(18, 90, rows), "")
    pl.DataFrame(columns).write_csv(path)


def measure(path: Path, cache: Path) -> dict[str, float]:
    """Seconds of each part and peak memory of this process."""
    from cotrain.data.preparation import Preparation
    from cotrain.data.prepare import prepare
    from cotrain.data.read import read_table
    from cotrain.tasks.binary import Binary
    from cotrain.tasks.regression import Regression

    targets = {"yes": Binary("yes").codec, "age": Regression("age").codec}
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, busy = time.perf_counter(), time.process_time()
    table = read_table(path)
    read = time.perf_counter()
    prepare(table, Preparation(targets=targets))
    done, used = time.perf_counter(), time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    prepare(table, Preparation(targets=targets, cache=cache))
    written = time.perf_counter()
    prepare(table, Preparation(targets=targets, cache=cache))
    return {
        "read": read - start,
        "prepare": done - read,
        "together": done - start,
        "cpu": used - busy,
        "from the cache": time.perf_counter() - written,
        "peak MiB": peak,
        "MiB before": loaded,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        with tempfile.TemporaryDirectory() as cache:
            print(json.dumps(measure(options.measure, Path(cache))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.csv"
        make(path, options.rows)
        print(f"{options.rows} rows x 11 columns, {path.stat().st_size / 2**20:.0f} MiB of csv")
        for _ in range(options.repeats):
            call = [sys.executable, __file__, "--measure", str(path)]
            found = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
            print("  ".join(f"{name} {value:.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
