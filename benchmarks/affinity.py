"""Which tasks together? How often clusters are found, whether strangers are told apart, and what the looks cost (`affinity_rank.py`: what predictions are worth).

    python examples/tables.py FOLDER                        makes the tables once
    python benchmarks/affinity.py clusters                  made data, two clusters of three tasks, ten seeds
    python benchmarks/affinity.py strangers --data FOLDER   three unrelated sources: heart disease, credit default, traffic speed
    python benchmarks/affinity.py cost                      the joint run with looks over that without

`clusters`: x ~ N(0, I) in 12 dimensions, f_c(x) a random network (12-16-1, tanh) a cluster, standardised, g_k one a task:
y_k = sqrt(.8) f_c(x) + sqrt(.2) g_k(x) + .3 e. Both clusters see all of x. `strangers`: the tables of `examples/tables.py` (heart disease: yes or no; credit: default),
and speed of ten sensors of a week in Los Angeles 15 minutes ahead from the hour before (METR-LA, FOLDER/metr_la_week/los_speed.csv.gz), each with
columns and an encoder of its own and the trunk in common; nothing but the parameters of the trunk is common to two of them.

`cost`: CPU seconds of one thread, pairs in turn, median of the pairs' ratios with the smallest and the largest, looks as the defaults of
`affinity:` have them.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.measured_affinity import found, joined, looks, measured
from cotrain.recipe.network import train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.training.diagnose import Look

TABLES = Path(__file__).resolve().parent.parent / "examples" / "data"
KINDS = {"heart": ("sex", "cp", "fbs", "restecg", "exang", "slope", "thal", "site"), "credit": ("SEX", "EDUCATION", "MARRIAGE")}  # fmt: skip

# -------------------------------------------------------------------------------------------------------------- clusters, strangers


def clustered(seed: int, rows: int = 2_000, inputs: int = 12) -> pl.DataFrame:
    """Six tasks: a0 a1 a2 of one hidden function, b0 b1 b2 of another."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, inputs))

    def function() -> NDArray[np.float64]:
        out = np.tanh(x @ draw.normal(size=(inputs, 16)) / np.sqrt(inputs)) @ draw.normal(size=16)
        return np.asarray((out - out.mean()) / out.std())

    columns = {f"x{place}": x[:, place] for place in range(inputs)}
    for name in "ab":
        hidden = function()
        for place in range(3):
            columns[f"{name}{place}"] = 0.8**0.5 * hidden + 0.2**0.5 * function() + 0.3 * draw.normal(size=rows)
    return pl.DataFrame(columns)


def clusters(seeds: int) -> None:
    wanted = [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    right = 0
    print("| seed | groups | least cosine within | greatest between |\n|---|---|---|---|")
    for seed in range(seeds):
        frame = clustered(seed)
        tasks = {name: "regression" for name in frame.columns if not name.startswith("x")}
        train = {"epochs": 30, "batch_size": 64, "optimizer": {"lr": 0.003}}
        document = answer(config_from_dict({"tasks": tasks, **small(train), "seed": seed}, table=frame))
        right += document["groups"] == wanted
        pairs = {(one["first"], one["second"]): one["cosine"] for one in document["pairs"]}
        within = min(value for (one, other), value in pairs.items() if one[0] == other[0])
        between = max(value for (one, other), value in pairs.items() if one[0] != other[0])
        print(f"| {seed} | {grouped(document)} | {within:.3f} | {between:.3f} |", flush=True)
    print(f"\nBoth clusters found exactly: {right} of {seeds} seeds.")


def strangers(data: Path, seeds: int) -> None:
    heart = pl.read_parquet(TABLES / "heart_disease.parquet").drop("grade")
    credit = pl.read_parquet(TABLES / "credit_default.parquet").drop("last_status", "last_payment")
    tables = {"heart": heart, "credit": credit, "traffic": traffic(data)}
    sources = {
        name: {
            "table": table,
            "kinds": dict.fromkeys(KINDS.get(name, ()), "category"),
            "encoder": {"name": "mlp", "widths": [64, 64]},
        }
        for name, table in tables.items()
    }
    sources["traffic"]["split"] = {"method": "time", "by": "step", "fractions": [0.6, 0.1, 0.3]}
    tasks = {
        "disease": {"kind": "binary", "source": "heart"},
        "default": {"kind": "binary", "source": "credit"},
        "speed": {"kind": "regression", "source": "traffic"},
    }
    print("| seed | disease, default | disease, speed | default, speed | verdict |\n|---|---|---|---|---|")
    apart = 0
    for seed in range(seeds):
        train = {"epochs": 8, "batch_size": 512, "optimizer": {"lr": 0.002}}
        document = answer(config_from_dict({"sources": sources, "tasks": tasks, **small(train), "seed": seed}))
        cells = [f"{one['cosine']:+.3f} ± {one['error']:.3f}" for one in document["pairs"]]
        apart += document["verdict"].startswith("Train these apart")
        print(f"| {seed} | {' | '.join(cells)} | {document['verdict']} |", flush=True)
    print(
        f"\nApart: {apart} of {seeds} seeds; compared at the {document['settings']['at']}, {document['looks']} looks."
    )


def traffic(data: Path) -> pl.DataFrame:
    """Ten sensors, every 20 minutes of a week: the speed 15 minutes ahead, from the hour before, the sensor and the hour of the day."""
    speeds = pl.read_csv(data / "metr_la_week" / "los_speed.csv.gz").to_numpy()
    steps = np.arange(12, len(speeds) - 3, 4)
    parts = []
    for sensor in range(0, speeds.shape[1], speeds.shape[1] // 10)[:10]:
        before = {f"before_{5 * back}": speeds[steps - back, sensor] for back in range(12)}
        about = {"sensor": [f"s{sensor}"] * len(steps), "hour": steps % 288 / 12, "step": steps}
        parts.append(pl.DataFrame({**before, **about, "speed": speeds[steps + 3, sensor]}))
    return pl.concat(parts)


def small(train: dict[str, Any]) -> dict[str, Any]:
    """A network of two layers of 64, on one thread."""
    return {
        "encoder": {"name": "mlp", "widths": [64, 64]},
        "data": {"cache": None},
        "train": {"threads": 1, "diagnose": None, **train},
    }


def answer(config: Config) -> dict[str, Any]:
    """affinity.json of a config."""
    joint = joined(config)
    rows = load_rows(joint)
    return found(measured(joint, rows).history.records, [task.name for task in rows.tasks], joint.affinity)


def grouped(document: dict[str, Any]) -> str:
    return "; ".join(" ".join(group) for group in document["groups"])


# ------------------------------------------------------------------------------------------------------------------------------- cost


def cost(pairs: int) -> None:
    census = pl.read_parquet(TABLES / "census.parquet").head(40_000)
    water = pl.read_parquet(TABLES / "wq.parquet")
    many = {name: "regression" for name in water.columns if name.startswith("target_")}
    three = dict.fromkeys(("income", "never_married", "college"), "binary")
    print("| rows | tasks | compared at | with looks over without | least | most |\n|---|---|---|---|---|---|")
    ways = (
        ("census", census, three, {"epochs": 2, "batch_size": 512}, 256, "features"),
        ("wq", water, many, {"epochs": 30, "batch_size": 64}, 64, "features"),
        ("census", census, three, {"epochs": 2, "batch_size": 512}, 256, "parameters"),
    )
    for name, table, tasks, train, width, at in ways:
        tree = small(train) | {"encoder": {"name": "mlp", "widths": [width, width]}}
        config = joined(config_from_dict({"tasks": tasks, **tree}, table=table))
        config = dataclasses.replace(config, affinity=dataclasses.replace(config.affinity, at=at))
        rows = load_rows(config)
        look = looks(config, rows)
        timed(config, rows, None)
        ratios = []
        for turn in range(pairs):
            order = (None, look) if turn % 2 else (look, None)
            seconds = {look is None: timed(config, rows, look) for look in order}
            ratios.append(seconds[False] / seconds[True])
        middle = statistics.median(ratios)
        print(f"| {name} | {len(tasks)} | {at} | {middle:.3f} | {min(ratios):.3f} | {max(ratios):.3f} |", flush=True)


def timed(config: Config, rows: Rows, look: Look | None) -> float:
    """CPU seconds of one training."""
    began = time.process_time()
    train_network(config, rows.data, rows.specs, rows.tasks, seed=config.seed, look=look)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("clusters", "strangers", "cost"))
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where metr_la_week lies")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "clusters":
        clusters(given.seeds or 10)
    elif given.what == "strangers":
        strangers(given.data, given.seeds or 5)
    else:
        cost(given.seeds or 7)


if __name__ == "__main__":
    main()
