"""Joint, single-task and boosted trees side by side on a table, five seeds, paired intervals: one of the configs under examples/.

    python examples/tables.py FOLDER                           makes the tables once
    python benchmarks/tables.py occupancy bike_sharing         any of census, credit_default, heart_disease, occupancy, bike_sharing, parkinsons_tele
    python benchmarks/tables.py census --resume                goes on where it stopped
    python benchmarks/tables.py census --preset best --joint   another preset; without the single-task networks
    python benchmarks/tables.py census --epochs 4              fewer rounds than the preset's

Prints a Markdown table for docs/results.md, how the tasks' gradients agree, and for every task how far it is from boosting. Splits and
seeds (0 to 4) are those of the configs and were fixed beforehand. No training has a time limit here: a number of epochs can be repeated. Everything is kept under runs/tables/.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from tables_of_results import markdown

from cotrain.recipe.compare import compare
from cotrain.recipe.config import load_config
from cotrain.tasks.scores import error_of

ROOT = Path(__file__).resolve().parent.parent


def outcome(name: str, preset: str | None, epochs: int | None, joint: bool, resume: bool) -> dict[str, Any]:
    """compare.json of one table."""
    config = load_config(ROOT / "examples" / f"{name}.yaml", preset=preset)
    epochs = config.train.epochs if epochs is None else epochs
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs, time_limit=None))
    if joint:
        config = dataclasses.replace(config, compare=dataclasses.replace(config.compare, single=False))
    folder = Path("runs/tables") / f"{name}-{config.preset}{'-joint' if joint else ''}"
    path = compare(config, folder=folder, resume=resume and folder.exists(), progress=print)
    found: dict[str, Any] = json.loads((path / "compare.json").read_text(encoding="utf-8"))
    return found


def beside_boosting(found: dict[str, Any]) -> list[str]:
    """A line a task: the joint network's primary metric and that of boosted trees, and who has the smaller error."""
    by_kind = {variant["kind"]: variant["scores"] for variant in found["variants"]}
    lines = []
    for task in by_kind.get("boosting", {}):  # there may be none for a task, or at all
        about = found["tasks"][task]
        own, trees = (sum(by_kind[kind][task]) / len(by_kind[kind][task]) for kind in ("joint", "boosting"))
        apart = error_of(about["primary"], trees) - error_of(about["primary"], own)
        lines.append(
            f"{task}: {about['primary']} {own:.4f}, boosting {trees:.4f}: {'ahead' if apart > 0 else 'behind'} by {abs(apart):.4f}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--preset")
    parser.add_argument("--epochs", type=int, help="in place of the preset's")
    parser.add_argument("--joint", action="store_true", help="leave the single-task networks out")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    for name in given.names:
        found = outcome(name, given.preset, given.epochs, given.joint, given.resume)
        print(f"\n### {name}\n\n{markdown(found)}\n")
        if found.get("conflict"):
            cosines = ", ".join(f"{pair} {value:.2f}" for pair, value in found["conflict"]["cosine"].items())
            print(
                f"mean gradient cosines: {cosines}; longest over shortest gradient {found['conflict']['norm_ratio']:.1f}\n"
            )
        print("\n".join(beside_boosting(found)))


if __name__ == "__main__":
    main()
