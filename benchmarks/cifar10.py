"""CIFAR-10, class and animal or vehicle: one network for both against one for each, over seeds.

    python benchmarks/cifar10.py                          five seeds, 30 minutes at most a training, as examples/cifar10.yaml says
    python benchmarks/cifar10.py --seeds 3 --minutes 10   less of it
    python benchmarks/cifar10.py --joint                  the joint network alone
    python benchmarks/cifar10.py --table                  what has been trained so far, as Markdown

The table is made by `python examples/tables.py FOLDER`. Every training is kept in --folder (runs/cifar10-compare) and not done again. A training may take
its minutes on all cores that torch uses; each network of the single-task row has as long.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.recipe.compare import compare
from cotrain.recipe.config import load_config

ROOT = Path(__file__).resolve().parent.parent
SCORES = (
    ("label", "accuracy", "class, accuracy"),
    ("living", "accuracy", "animal or vehicle, accuracy"),
    ("living", "auc", "its AUC"),
)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.2f}{deviation}"


def row(variant: Mapping[str, Any]) -> str:
    """One variant's line of the table."""
    scores = [spread([seed[metric] for seed in variant["all_scores"][task]]) for task, metric, _ in SCORES]
    cost = variant["cost"]
    cells = (
        variant["name"],
        *scores,
        f"{cost['parameters'] / 1e3:,.0f}",
        f"{cost['flops_per_row'] / 1e6:.1f}",
        f"{(cost.get('train_seconds') or 0) / 60:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def table(document: Mapping[str, Any]) -> str:
    """A comparison as Markdown."""
    heads = ("network", *(name for _, _, name in SCORES), "thousand parameters", "MFLOP a picture", "minutes")
    rows = [row(one) for one in document["variants"] if "all_scores" in one]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *rows]
    return "\n".join(
        [*lines, "", f"Test pictures, {len(document['seeds'])} seeds, mean and standard deviation in per cent."]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "cifar10.yaml")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "cifar10-compare")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=None, help="for each training, in place of the config's")
    parser.add_argument("--epochs", type=int, default=None, help="in place of the config's")
    parser.add_argument("--joint", action="store_true", help="leave the single-task networks out")
    parser.add_argument("--table", action="store_true", help="train nothing")
    given = parser.parse_args()
    if not given.table:
        config = load_config(given.config)
        train = config.train
        if given.minutes is not None:
            train = dataclasses.replace(train, time_limit=60 * given.minutes)
        if given.epochs is not None:
            train = dataclasses.replace(train, epochs=given.epochs)
        how = dataclasses.replace(
            config.compare, seeds=tuple(range(given.seeds)), single=not given.joint, boosting=False
        )
        config = dataclasses.replace(config, train=train, compare=how)
        compare(config, folder=given.folder, resume=(given.folder / "config.yaml").exists(), progress=print)
    print(table(json.loads((given.folder / "compare.json").read_text("utf-8"))))


if __name__ == "__main__":
    main()
