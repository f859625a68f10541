"""Tasks on one picture: one network for all of them against one for each, over seeds, as the configs under examples/ say.

    python examples/mnist.py FOLDER; python examples/tables.py FOLDER      make the pictures once
    python benchmarks/picture_tasks.py multimnist                          two digits on one picture
    python benchmarks/picture_tasks.py mnist_boxes                         which digit, and where
    python benchmarks/picture_tasks.py cifar10 --seeds 3 --minutes 10      which of ten, and animal or vehicle; so long a training at most
    python benchmarks/picture_tasks.py cifar10 --joint --epochs 5          the joint network alone, fewer rounds
    python benchmarks/picture_tasks.py cifar10 --table                     what has been trained so far, as Markdown

Every training is kept in --folder (runs/pictures/NAME) and not done again. Prints a Markdown table for docs/results.md, then what the joint network reached on
the test pictures by every measure, beside the aims.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from tables_of_results import markdown

from cotrain.recipe.compare import compare
from cotrain.recipe.config import Config, load_config

ROOT = Path(__file__).resolve().parent.parent
AIMS = {("mnist_boxes", "digit", "accuracy"): 0.985, ("mnist_boxes", "where", "mean_iou"): 0.85, ("cifar10", "label", "accuracy"): 0.65}  # fmt: skip


def config_of(name: str, given: argparse.Namespace) -> Config:
    """The example, with what the command line says in place of its own."""
    config = load_config(given.config or ROOT / "examples" / f"{name}.yaml")
    train = config.train
    if given.minutes is not None:
        train = dataclasses.replace(train, time_limit=60 * given.minutes)
    if given.epochs is not None:
        train = dataclasses.replace(train, epochs=given.epochs)
    seeds = config.compare.seeds if given.seeds is None else tuple(range(given.seeds))
    how = dataclasses.replace(config.compare, seeds=seeds, single=not given.joint, boosting=False)
    return dataclasses.replace(config, train=train, compare=how)


def reached(name: str, found: dict[str, Any]) -> list[str]:
    """A line a measure: the joint network's mean over seeds and the least, its aim if it has one; then what a picture costs."""
    joint = next(one for one in found["variants"] if one["kind"] == "joint")
    lines = []
    for task, by_seed in joint["all_scores"].items():
        for metric in by_seed[0]:
            values = [seed[metric] for seed in by_seed]
            if any(value is None for value in values):
                continue
            mean, aim = statistics.fmean(values), AIMS.get((name, task, metric))
            against = "" if aim is None else f", {'reached' if mean >= aim else 'missed'}: the aim is {aim:g}"
            lines.append(f"{task}, {metric}: {mean:.4f} (least {min(values):.4f}){against}")
    cost = joint["cost"]
    return [*lines, f"{cost['flops_per_row'] / 1e6:.1f} MFLOPs a picture, {cost['seconds'] / 60:.1f} minutes a training"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["mnist_boxes", "multimnist", "cifar10"])
    parser.add_argument("--config", type=Path, help="in place of the example")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seeds", type=int, help="in place of the config's")
    parser.add_argument("--epochs", type=int, help="in place of the config's")
    parser.add_argument("--minutes", type=float, help="for each training, in place of the config's")
    parser.add_argument("--joint", action="store_true", help="leave the single-task networks out")
    parser.add_argument("--table", action="store_true", help="train nothing")
    given = parser.parse_args()
    folder = given.folder or Path("runs/pictures") / given.name
    if not given.table:
        resume = (folder / "config.yaml").exists()
        compare(config_of(given.name, given), folder=folder, resume=resume, progress=print)
    found = json.loads((folder / "compare.json").read_text("utf-8"))
    print(f"\n### {given.name}, {len(found['seeds'])} seeds\n\n{markdown(found)}\n")
    print("\n".join(reached(given.name, found)))


if __name__ == "__main__":
    main()
