"""Which tasks together? How often clusters are found, whether strangers are told apart, what predictions are worth, and what the looks cost.

    python benchmarks/affinity.py clusters                  made data, two clusters of three tasks, ten seeds
    python benchmarks/affinity.py strangers --data FOLDER   three unrelated sources: heart disease, credit default, traffic speed
    python benchmarks/affinity.py rank --figure docs/images/affinity_rank.svg     predicted and trained gains on wq, atp1d and oes97
    python benchmarks/affinity.py cost                      the joint run with looks over that without

`clusters`: x ~ N(0, I) in 12 dimensions, f_c(x) a random network (12-16-1, tanh) a cluster, standardised, g_k one a task:
y_k = sqrt(.8) f_c(x) + sqrt(.2) g_k(x) + .3 e. Both clusters see all of x. `strangers`: the tables of `examples/tables.py` (heart disease: yes or no; credit: default),
and speed of ten sensors of a week in Los Angeles 15 minutes ahead from the hour before (METR-LA, FOLDER/metr_la_week/los_speed.csv.gz), each with
columns and an encoder of its own and the trunk in common; nothing but the parameters of the trunk is common to two of them.

`rank`: networks of two layers of 64, the same rows, budget and stopping for all. Predicted: the mean cosine of the others' gradients with the task's, at the
features, during the joint training. Trained: 1 - error / error alone, test RMSE, means over the seeds; for all targets together, and
for groups of three drawn at random. Spearman's correlation over tasks (over tasks in groups), with a 95 % interval of the bootstrap over
tasks (groups). Every training is kept in FOLDER/rank.jsonl; a second call goes on.

`cost`: CPU seconds of one thread, pairs in turn, median of the pairs' ratios with the smallest and the largest, a look every 10 steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from cotrain.recipe.affinity import gained
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.measured_affinity import found, joined, measured
from cotrain.recipe.network import gathered, train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.training.diagnose import Look
from cotrain.training.evaluate import scores

TABLES = Path(__file__).resolve().parent.parent / "examples" / "data"
SETS = ("wq", "atp1d", "oes97")
GROUPS, SIZE = 16, 3
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


# ------------------------------------------------------------------------------------------------------------------------------- rank


def trainings(targets: Sequence[str], seeds: int, groups: int) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """(way, tasks, seed): all together and each alone first, then groups of three drawn at random."""
    draw = np.random.default_rng(0)
    drawn = {tuple(sorted(draw.choice(len(targets), SIZE, replace=False).tolist())) for _ in range(groups)}
    for seed in range(seeds):
        yield "all", tuple(targets), seed
        for name in targets:
            yield "alone", (name,), seed
    for seed in range(seeds):
        for group in sorted(drawn):
            yield "group", tuple(targets[place] for place in group), seed


def ranked(name: str, folder: Path, seeds: int, groups: int) -> None:
    """Train what is missing, and keep each training on a line of its own."""
    kept = folder / "rank.jsonl"
    done = {(one["set"], one["way"], tuple(one["tasks"]), one["seed"]) for one in lines(kept)}
    frame = pl.read_parquet(TABLES / f"{name}.parquet")
    targets = [column for column in frame.columns if column.startswith("target_")]
    train = {"epochs": 60, "batch_size": 64, "optimizer": {"lr": 0.003}, "early_stopping": {"patience": 15}}
    ready: dict[int, tuple[Config, Rows]] = {}
    for way, tasks, seed in trainings(targets, seeds, groups):
        if (name, way, tasks, seed) in done:
            continue
        if seed not in ready:
            tree = small(train) | {"data": {"cache": None, "split": {"method": "random", "fractions": [0.6, 0.2, 0.2]}}}
            config = joined(
                config_from_dict({"tasks": dict.fromkeys(targets, "regression"), **tree, "seed": seed}, table=frame)
            )
            ready = {seed: (config, load_rows(config))}
        config, rows = ready[seed]
        chosen = [task for task in rows.tasks if task.name in tasks]
        began = time.process_time()
        if way == "all":
            result = measured(config, rows)
            pairs = found(result.history.records, tasks, config.affinity)["pairs"]
        else:
            result, pairs = train_network(config, rows.data, rows.specs, chosen, seed=seed), []
        reached = scores(result.model.tasks, gathered(result.model, rows.data.for_tasks(tasks), "test"))
        line = {
            "set": name,
            "way": way,
            "tasks": list(tasks),
            "seed": seed,
            "errors": {one: result.model.tasks[one].error(reached[one]) for one in tasks},
            "cosines": {f"{one['first']}|{one['second']}": one["cosine"] for one in pairs},
            "seconds": time.process_time() - began,
        }
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


Point = tuple[float, float, str]
"""(predicted, trained, what is drawn again as a whole by the bootstrap)."""


def points(folder: Path, name: str) -> dict[str, list[Point]]:
    """{"all", "group": a point a task, or a task in a group}; seeds of which a training is missing are left out for that point."""
    mine = [one for one in lines(folder / "rank.jsonl") if one["set"] == name]
    alone = {(one["tasks"][0], one["seed"]): one["errors"][one["tasks"][0]] for one in mine if one["way"] == "alone"}
    cosines: dict[frozenset[str], list[float]] = {}
    errors: dict[tuple[str, tuple[str, ...]], dict[int, dict[str, float]]] = {}
    for one in mine:
        for pair, value in one["cosines"].items():
            cosines.setdefault(frozenset(pair.split("|")), []).append(value)
        if one["way"] != "alone":
            errors.setdefault((one["way"], tuple(one["tasks"])), {})[one["seed"]] = one["errors"]
    out: dict[str, list[Point]] = {"all": [], "group": []}
    for (way, tasks), by_seed in errors.items():
        for task in tasks:
            seeds = [seed for seed in by_seed if (task, seed) in alone]
            others = [cosines.get(frozenset((task, other))) for other in tasks if other != task]
            if not seeds or any(one is None for one in others):
                continue
            with_others = statistics.fmean(by_seed[seed][task] for seed in seeds)
            trained = gained(with_others, statistics.fmean(alone[task, seed] for seed in seeds))
            predicted = statistics.fmean(statistics.fmean(one) for one in others if one)
            if trained is not None:
                out[way].append((predicted, trained, task if way == "all" else "|".join(tasks)))
    return out


def spearman(given: Sequence[Point]) -> tuple[float, float, float, float]:
    """(correlation, p, the ends of its 95 % interval)."""
    from scipy.stats import spearmanr

    result = spearmanr([one[0] for one in given], [one[1] for one in given])
    draw, marks = np.random.default_rng(0), sorted({one[2] for one in given})
    again = []
    for _ in range(2_000):
        drawn = [one for mark in draw.choice(marks, len(marks)) for one in given if one[2] == mark]
        if len({one[0] for one in drawn}) > 2:
            again.append(spearmanr([one[0] for one in drawn], [one[1] for one in drawn]).statistic)
    low, high = np.nanquantile(again, (0.025, 0.975))
    return float(result.statistic), float(result.pvalue), float(low), float(high)


def rank(given: argparse.Namespace) -> None:
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.sets:
        if not given.only_table:
            ranked(name, given.folder, given.seeds, given.groups)
    print(
        "| set | points | predicted | trained gain, median | Spearman | 95 % interval | p |\n|---|---|---|---|---|---|---|"
    )
    drawn: dict[str, dict[str, list[Point]]] = {}
    for name in given.sets:
        drawn[name] = points(given.folder, name)
        for way, words in (("all", "all targets together"), ("group", "in groups of three")):
            here = drawn[name][way]
            if len(here) < 4:
                continue
            value, p, low, high = spearman(here)
            ends = f"{min(one[0] for one in here):+.2f} to {max(one[0] for one in here):+.2f}"
            print(
                f"| {name}, {words} | {len(here)} | {ends} | {100 * statistics.median(one[1] for one in here):+.1f} % | "
                f"{value:+.2f} | {low:+.2f} to {high:+.2f} | {p:.2g} |"
            )
    if given.figure is not None:
        given.figure.write_text(figure(drawn), encoding="utf-8")


def figure(drawn: dict[str, dict[str, list[Point]]]) -> str:
    """A panel a set: predicted across, trained gain up; a ring a target together with all, a dot one in a group of three."""
    wide, high, gap, left, top, bottom = 300, 300, 16, 66, 74, 56
    whole = left + len(drawn) * (wide - left + gap) + left // 2
    grey, ink, blue, orange = "#6b6f76", "#23262b", "#3a49c9", "#c9703a"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {high}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Predicted and trained gains of training targets together</title>",
        f'<rect width="{whole}" height="{high}" fill="#fff"/>',
        f'<text x="{left}" y="22" fill="{ink}" font-size="15" font-weight="600">Error less than alone, against the mean cosine of gradients</text>',
        f'<circle cx="{left + 5}" cy="38" r="3.5" fill="none" stroke="{orange}" stroke-width="1.5"/>',
        f'<text x="{left + 14}" y="42" fill="{grey}">together with all targets</text>',
        f'<circle cx="{left + 185}" cy="38" r="3" fill="{blue}" fill-opacity=".6"/>',
        f'<text x="{left + 194}" y="42" fill="{grey}">in a group of three</text>',
    ]
    size = wide - left - gap
    for place, (name, ways) in enumerate(drawn.items()):
        here = [one for way in ways.values() for one in way]
        if not here:
            continue
        x0 = left + place * (size + left)
        low, above = min(0.0, *(one[0] for one in here)), max(one[0] for one in here)
        under, over = (end([one[1] for one in here], side) for side in (-1, 1))

        def at(x: float, y: float, x0: float = x0, low: float = low, above: float = above, under: float = under, over: float = over) -> tuple[float, float]:  # fmt: skip
            return x0 + 6 + (size - 12) * (x - low) / (above - low), top + (high - top - bottom) * (over - y) / (
                over - under
            )

        parts.append(f'<text x="{x0}" y="{top - 10}" fill="{ink}" font-weight="600">{name}</text>')
        for value in sorted({under, 0.0, over}):
            y = at(low, value)[1]
            parts.append(f'<line x1="{x0}" x2="{x0 + size}" y1="{y:.1f}" y2="{y:.1f}" stroke="{"#9a9ea5" if value == 0 else "#e4e5e8"}"/>')  # fmt: skip
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end" fill="{grey}">{100 * value:+.0f} %</text>')  # fmt: skip
        for value in (low, above):
            x = at(value, 0)[0]
            parts.append(f'<text x="{x:.1f}" y="{high - bottom + 18}" text-anchor="middle" fill="{grey}">{value:.2f}</text>')  # fmt: skip
        for way, mark in (("group", f'r="3" fill="{blue}" fill-opacity=".6"'), ("all", f'r="3.5" fill="none" stroke="{orange}" stroke-width="1.5"')):  # fmt: skip
            parts += ['<circle cx="{:.1f}" cy="{:.1f}" {}/>'.format(*at(one[0], one[1]), mark) for one in ways[way]]
    parts.append(f'<text x="{whole / 2:.0f}" y="{high - 12}" text-anchor="middle" fill="{ink}">mean cosine with the others\' gradients</text>')  # fmt: skip
    return "\n".join([*parts, "</svg>"]) + "\n"


def end(values: Sequence[float], side: int) -> float:
    """The end of an axis: the furthest value on that side of 0, outwards to a whole 5 %."""
    return side * max(0.05, float(np.ceil(20 * max(side * one for one in values)) / 20))


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
        rows = load_rows(config)
        timed(config, rows, None)
        ratios = []
        for turn in range(pairs):
            order = (None, Look(at, 10)) if turn % 2 else (Look(at, 10), None)
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
    parser.add_argument("what", choices=("clusters", "strangers", "rank", "cost"))
    parser.add_argument("sets", nargs="*", default=list(SETS), help="of rank")
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--groups", type=int, default=GROUPS, help="of rank: so many groups of three at random")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where metr_la_week lies")
    parser.add_argument("--folder", type=Path, default=Path("runs/affinity"), help="where what is trained is kept")
    parser.add_argument("--figure", type=Path, help="an SVG file to write")
    parser.add_argument("--only-table", action="store_true", help="train nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "clusters":
        clusters(given.seeds or 10)
    elif given.what == "strangers":
        strangers(given.data, given.seeds or 5)
    elif given.what == "rank":
        given.seeds = given.seeds or 5
        rank(given)
    else:
        cost(given.seeds or 7)


if __name__ == "__main__":
    main()
