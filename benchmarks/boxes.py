"""Which digit, and where, on 70,000 noisy pictures made of MNIST: one network for both against one for each, over seeds.

    python examples/mnist_boxes.py FOLDER                 makes the pictures once
    python benchmarks/boxes.py                            three seeds, as examples/mnist_boxes.yaml says
    python benchmarks/boxes.py --seeds 1 --joint          the joint network alone, once
    python benchmarks/boxes.py --epochs 2                 less of it
    python benchmarks/boxes.py --table                    what has been trained so far, as Markdown

Every training is kept in --folder (runs/boxes) and not done again. Aims, of the joint network on the 10,000 test pictures: the digit right in 98.5 %, a
mean intersection over union of .85. Prints a Markdown table for docs/results.md, and how far the aims are.
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
from cotrain.recipe.config import load_config

ROOT = Path(__file__).resolve().parent.parent
AIMS = (("digit", "accuracy", 0.985), ("where", "mean_iou", 0.85), ("where", "accuracy_iou50", None))


def aims(found: dict[str, Any]) -> list[str]:
    """A line an aim: what the joint network reached, the mean over seeds, and the least."""
    joint = next(one for one in found["variants"] if one["kind"] == "joint")
    lines = []
    for task, metric, aim in AIMS:
        values = [seed[metric] for seed in joint["all_scores"][task]]
        mean = statistics.fmean(values)
        against = "" if aim is None else f", {'reached' if mean >= aim else 'missed'}: the aim is {aim:g}"
        lines.append(f"{task}, {metric}: {mean:.4f} (least {min(values):.4f}){against}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "examples" / "mnist_boxes.yaml")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "boxes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=None, help="in place of the config's")
    parser.add_argument("--joint", action="store_true", help="leave the single-task networks out")
    parser.add_argument("--table", action="store_true", help="train nothing")
    given = parser.parse_args()
    if not given.table:
        config = load_config(given.config)
        epochs = config.train.epochs if given.epochs is None else given.epochs
        how = dataclasses.replace(
            config.compare, seeds=tuple(range(given.seeds)), single=not given.joint, boosting=False
        )
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs), compare=how)
        compare(config, folder=given.folder, resume=(given.folder / "config.yaml").exists(), progress=print)
    found = json.loads((given.folder / "compare.json").read_text("utf-8"))
    print(f"\n{markdown(found)}\n")
    print("\n".join(aims(found)))


if __name__ == "__main__":
    main()
