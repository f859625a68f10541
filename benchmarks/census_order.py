"""The published order on census income: is shared-bottom <= MMoE <= PLE in AUC, at equal parameters?

    python examples/tables.py FOLDER                  makes the table once
    python benchmarks/census_order.py                 five seeds of three networks; what is done is kept, and a second call goes on
    python benchmarks/census_order.py --seeds 1 --epochs 1 --rows 5000 --folder runs/try      a smoke test

Two tasks, as published: income over 50,000 (the one the order is about) and never married, on the rows and the split of
examples/census.yaml. Three networks of two hidden layers: one trunk for both tasks; MMoE with 8 experts that read the inputs; PLE with 2 levels, one
shared expert and one of each task at every level. Each has the width that makes its parameters as many as the trunk's at --width, embeddings
of categories and heads included (the table says how many). Alike in everything else: dropout, optimiser, epochs, batches, and the weights kept are
those of the epoch with the best mean gain on the validation rows. A seed draws initial values, dropout and the order of rows; the split is the
same for all. Prints a Markdown table: AUC on the test rows, mean and spread over seeds, and the differences, paired by seed, with a 95 % t interval.

Published: J. Ma et al., KDD 2018 (shared-bottom, MMoE), and H. Tang et al., RecSys 2020 (PLE .9522, MMoE .9410 on income), on other splits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

from cotrain.core.randomness import untouched
from cotrain.recipe.build import build_model
from cotrain.recipe.config import Config, config_from_dict, load_config
from cotrain.recipe.network import gathered, train_network
from cotrain.recipe.rows import Rows, load_rows
from cotrain.training.evaluate import scores

ROOT = Path(__file__).resolve().parent.parent
TASKS = ("income", "never_married")
SHARINGS: dict[str, Any] = {
    "shared-bottom": "hard",
    "MMoE": {"name": "mmoe", "experts": 8, "split": 0},
    "PLE": {"name": "ple", "levels": 2, "shared": 1, "own": 1},
}


def config_of(sharing: Any, width: int, epochs: int) -> Config:
    """One network on the rows of the example; the other targets of the example are left out of the inputs."""
    example = load_config(ROOT / "examples" / "census.yaml")
    others = [f"-{column}" for name, one in example.tasks.items() if name not in TASKS for column in one.columns]
    tree: dict[str, Any] = {
        "data": dataclasses.replace(example.data, stream=False),
        "inputs": ["*", *others],
        "tasks": dict.fromkeys(TASKS, "binary"),
        "encoder": {"name": "mlp", "widths": [width, width], "dropout": 0.1},
        "sharing": sharing,
        "head": {"name": "mlp", "widths": [32]},
        "train": {
            "epochs": epochs, "batch_size": 512, "optimizer": {"name": "adamw", "lr": 0.001}, "early_stopping": None,
            "schedule": "cosine", "diagnose": None,
        },
        "seed": 0,
    }  # fmt: skip
    return config_from_dict(tree)


def parameters(config: Config, rows: Rows) -> int:
    with untouched():
        model = build_model(config, list(rows.tasks))
        model.build(rows.specs, rows.data.first("train", 2).inputs)
    return sum(one.numel() for one in model.parameters())


def fitting(sharing: Any, wanted: int, epochs: int, rows: Rows) -> Config:
    """The network of this sharing whose parameters are nearest to `wanted`."""
    low, high = 1, 4096
    while high - low > 1:
        middle = (low + high) // 2
        if parameters(config_of(sharing, middle, epochs), rows) <= wanted:
            low = middle
        else:
            high = middle
    return min(
        (config_of(sharing, one, epochs) for one in (low, high)), key=lambda one: abs(parameters(one, rows) - wanted)
    )


def only(rows: Rows, most: int | None) -> Rows:
    """The rows, or the first so many of every split."""
    if most is None:
        return rows
    data: Any = rows.data
    splits = {name: data.rows(name)[:most] for name in data.counts}
    return dataclasses.replace(
        rows, data=type(data)(data.inputs, data.targets, splits=splits, weight=data.weight, source=data.source)
    )


def measured(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every training, those that are missing made now, one line each in the folder."""
    kept = given.folder / "census_order.jsonl"
    about = [given.width, given.epochs, given.rows]
    done = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    done = [one for one in done if one["about"] == about]
    rows = only(load_rows(config_of("hard", given.width, given.epochs)), given.rows)
    wanted = parameters(config_of("hard", given.width, given.epochs), rows)
    configs = {name: fitting(sharing, wanted, given.epochs, rows) for name, sharing in SHARINGS.items()}
    for seed in range(given.seeds):
        for name, config in configs.items():
            if any((one["name"], one["seed"]) == (name, seed) for one in done):
                continue
            began = time.monotonic()
            trained = train_network(config, rows.data, rows.specs, rows.tasks, seed=seed)
            found = scores(trained.model.tasks, gathered(trained.model, rows.data, "test"))
            line = {
                "name": name, "seed": seed, "about": about, "auc": {task: found[task]["auc"] for task in TASKS},
                "parameters": parameters(config, rows), "width": next(iter(config.encoder.settings["widths"])),
                "best_epoch": trained.history.best_epoch, "seconds": round(time.monotonic() - began, 1),
            }  # fmt: skip
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
            done.append(line)
    return done


def spread(values: list[float], places: int = 4) -> str:
    around = f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{places}f}{around}"


def difference(done: list[dict[str, Any]], first: str, second: str, task: str) -> str:
    """AUC of the second less that of the first, paired by seed, with its interval."""
    by = {name: {one["seed"]: one["auc"][task] for one in done if one["name"] == name} for name in (first, second)}
    apart = [by[second][seed] - by[first][seed] for seed in sorted(set(by[first]) & set(by[second]))]
    mean = statistics.fmean(apart)
    if len(apart) < 2:
        return f"{mean:+.4f}"
    half = student.ppf(0.975, len(apart) - 1) * statistics.stdev(apart) / len(apart) ** 0.5
    return f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"


def table(done: list[dict[str, Any]]) -> str:
    lines = ["| network | income (auc) | never_married (auc) | width | parameters | seconds |", "|---" * 6 + "|"]
    for name in SHARINGS:
        own = [one for one in done if one["name"] == name]
        cells = [spread([one["auc"][task] for one in own]) for task in TASKS]
        seconds = statistics.fmean(one["seconds"] for one in own)
        lines.append(f"| {name} | {' | '.join(cells)} | {own[0]['width']} | {own[0]['parameters']:,} | {seconds:.0f} |")
    lines += ["", "| difference in AUC | income | never_married |", "|---|---|---|"]
    for first, second in (("shared-bottom", "MMoE"), ("MMoE", "PLE"), ("shared-bottom", "PLE")):
        cells = [difference(done, first, second, task) for task in TASKS]
        lines.append(f"| {second} less {first} | {' | '.join(cells)} |")
    means = {name: statistics.fmean(one["auc"]["income"] for one in done if one["name"] == name) for name in SHARINGS}
    ordered = " <= ".join(sorted(means, key=lambda name: means[name]))
    return "\n".join([*lines, "", f"Order of the means on income: {ordered}; published: {' <= '.join(SHARINGS)}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--width", type=int, default=256, help="of the trunk, which the others' parameters follow")
    parser.add_argument("--rows", type=int, help="of every split at most, to try it out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/census_order"), help="where what is done is kept")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    print("\n" + table(measured(given)))


if __name__ == "__main__":
    main()
