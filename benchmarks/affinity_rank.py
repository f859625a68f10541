"""What predicted gains of training tasks together are worth: their rank correlation with trained gains on wq, atp1d and oes97.

    python benchmarks/affinity_rank.py --figure docs/images/affinity_rank.svg
    python benchmarks/affinity_rank.py wq --seeds 3 --groups 0

Networks of two layers of 64, the same rows, budget and stopping for all. Predicted: the mean cosine of the others' gradients with the task's, at the
features, during the joint training; beside it the mean share of a loss (`by: share`), and cosines at the parameters. Trained: 1 - error / error alone, test
RMSE, means over the seeds; for all targets together, and for groups of three drawn at random (`--groups`). Spearman's correlation over tasks (over
tasks in groups), with a 95 % interval of the bootstrap over tasks (groups). Every training is kept in FOLDER/rank.jsonl; a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from affinity import TABLES, small

from cotrain.recipe.affinity import gained
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.measured_affinity import found, joined, measured
from cotrain.recipe.network import gathered, train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.training.evaluate import scores

SETS = ("wq", "atp1d", "oes97")
GROUPS, SIZE = 16, 3


def trainings(targets: Sequence[str], seeds: int, groups: int) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """(way, tasks, seed): all together, looked at here and there, and each alone first, then groups of three drawn at random."""
    draw = np.random.default_rng(0)
    drawn = {tuple(sorted(draw.choice(len(targets), SIZE, replace=False).tolist())) for _ in range(groups)}
    for seed in range(seeds):
        yield "all", tuple(targets), seed
        yield "parameters", tuple(targets), seed
        for name in targets:
            yield "alone", (name,), seed
    for seed in range(seeds):
        for group in sorted(drawn):
            yield "group", tuple(targets[place] for place in group), seed


def ranked(name: str, folder: Path, seeds: int, groups: int) -> None:
    """Train what is missing, and keep each training on a line of its own."""
    kept = folder / "rank.jsonl"
    done = {
        (one["set"], one["way"], tuple(one["tasks"]), one["seed"])
        for one in lines(kept)
        if one["way"] != "all" or "shares" in one
    }
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
        if way in ("all", "parameters"):
            here = config if way == "all" else replace(config, affinity=replace(config.affinity, at="parameters"))
            result = measured(here, rows)
            pairs = found(result.history.records, tasks, here.affinity)["pairs"]
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
            "shares": {
                f"{one[first]}>{one[second]}": one[way_of]
                for one in pairs
                for first, second, way_of in (("first", "second", "forward"), ("second", "first", "backward"))
            },
            "seconds": time.process_time() - began,
        }
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


Point = tuple[float, float, str]
"""(predicted, trained, what is drawn again as a whole by the bootstrap)."""


PREDICTORS = {
    "cosine": "cosine at the features",
    "share": "share at the features",
    "parameters": "cosine at the parameters",
}


def brought(mine: Sequence[dict[str, Any]], by: str) -> dict[tuple[str, str], float]:
    """{(task, other): what the other does for it, mean over the seeds}."""
    held: dict[tuple[str, str], list[float]] = {}
    for one in mine:
        if one["way"] != ("parameters" if by == "parameters" else "all"):
            continue
        if by == "share":
            for pair, value in one.get("shares", {}).items():
                other, task = pair.split(">")
                held.setdefault((task, other), []).append(value)
        else:
            for pair, value in one["cosines"].items():
                task, other = pair.split("|")
                held.setdefault((task, other), []).append(value)
                held.setdefault((other, task), []).append(value)
    return {pair: statistics.fmean(values) for pair, values in held.items()}


def points(folder: Path, name: str, by: str = "cosine") -> dict[str, list[Point]]:
    """{"all", "group": a point a task, or a task in a group}; seeds of which a training is missing are left out for that point."""
    mine = [one for one in lines(folder / "rank.jsonl") if one["set"] == name]
    alone = {(one["tasks"][0], one["seed"]): one["errors"][one["tasks"][0]] for one in mine if one["way"] == "alone"}
    brings = brought(mine, by)
    errors: dict[tuple[str, tuple[str, ...]], dict[int, dict[str, float]]] = {}
    for one in mine:
        if one["way"] in ("all", "group"):
            errors.setdefault((one["way"], tuple(one["tasks"])), {})[one["seed"]] = one["errors"]
    out: dict[str, list[Point]] = {"all": [], "group": []}
    for (way, tasks), by_seed in errors.items():
        for task in tasks:
            seeds = [seed for seed in by_seed if (task, seed) in alone]
            others = [brings.get((task, other)) for other in tasks if other != task]
            if not seeds or any(one is None for one in others):
                continue
            with_others = statistics.fmean(by_seed[seed][task] for seed in seeds)
            trained = gained(with_others, statistics.fmean(alone[task, seed] for seed in seeds))
            predicted = statistics.fmean(one for one in others if one is not None)
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
    print("| set | predicted by | points | predicted | trained gain, median | Spearman | 95 % interval | p |")
    print("|---" * 8 + "|")
    drawn: dict[str, dict[str, list[Point]]] = {}
    for name in given.sets:
        drawn[name] = points(given.folder, name)
        for (by, predictor), (way, words) in product(
            PREDICTORS.items(), (("all", "all targets together"), ("group", "in groups of three"))
        ):
            here = points(given.folder, name, by)[way]
            if len(here) < 4:
                continue
            value, p, low, high = spearman(here)
            ends = f"{min(one[0] for one in here):+.2f} to {max(one[0] for one in here):+.2f}"
            print(
                f"| {name}, {words} | {predictor} | {len(here)} | {ends} | {100 * statistics.median(one[1] for one in here):+.1f} % | "
                f"{value:+.2f} | {low:+.2f} to {high:+.2f} | {p:.2g} |"
            )
    if given.figure is not None:
        given.figure.write_text(figure(drawn), encoding="utf-8")


def figure(drawn: dict[str, dict[str, list[Point]]]) -> str:
    """A panel a set: predicted across, trained gain up; a ring a target together with all, a dot one in a group of three."""
    wide, high, gap, left, top, bottom = 300, 300, 16, 66, 74, 56
    whole = left + len(drawn) * (wide - gap)  # a panel and the room for its percentages
    grey, ink, blue, orange = "#6b6f76", "#23262b", "#3a49c9", "#c9703a"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {high}" font-family="sans-serif" font-size="12" role="img">',
        "<title>Predicted and trained gains of training targets together</title>",
        f'<rect width="{whole}" height="{high}" fill="#fff"/>',
        f'<text x="{left}" y="22" fill="{ink}" font-size="15" font-weight="600">Error less than alone, against the mean cosine of gradients</text>',
        f'<circle cx="{left + 5}" cy="38" r="3.5" fill="none" stroke="{orange}" stroke-width="1.5"/>',
        f'<text x="{left + 14}" y="42" fill="{grey}">together with all targets</text>',
    ]
    if any(ways["group"] for ways in drawn.values()):
        parts += [
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--groups", type=int, default=GROUPS, help="so many groups of three at random")
    parser.add_argument("--folder", type=Path, default=Path("runs/affinity"), help="where what is trained is kept")
    parser.add_argument("--figure", type=Path, help="an SVG file to write")
    parser.add_argument("--only-table", action="store_true", help="train nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rank(given)


if __name__ == "__main__":
    main()
