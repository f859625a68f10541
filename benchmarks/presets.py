"""What a newcomer gets: `preset: good` with two minutes, beside scikit-learn's MLP and boosted trees, on tables nothing was tuned for.

    python examples/tables.py FOLDER             makes the tables once
    python benchmarks/presets.py                 all of them (about two minutes each)
    python benchmarks/presets.py bike_sharing --preset fast --time-limit 20

One network for all tasks of a table, trained once with seed 0 on the split of its config under examples/; scikit-learn's MLPClassifier and MLPRegressor and its
histogram boosting with their defaults, one a task, on the same encoded rows (the MLP's categories one-hot, boosting stopped early on the
validation rows). The test rows are scored once. Prints a Markdown table and on how many targets the network is ahead.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from cotrain.core.fields import Batch
from cotrain.core.spec import InputSpec, Task
from cotrain.recipe.config import load_config
from cotrain.recipe.network import gathered, train_network, whole
from cotrain.recipe.rows import Rows, load_rows
from cotrain.tasks.scores import error_of
from cotrain.training.boosting import boosted_output
from cotrain.training.evaluate import scores

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("census", "credit_default", "heart_disease", "occupancy", "bike_sharing", "parkinsons_tele")

MANY = 20_000
"""From so many training rows on, scikit-learn's MLP stops early on a tenth of them: its own 200 rounds would take half an hour."""


def matrix(batch: Batch, specs: InputSpec) -> np.ndarray:
    """Numbers, and categories one-hot, side by side."""
    parts = []
    for name, spec in specs.items():
        values = batch.inputs[name].values
        if spec.kind == "category":
            parts += [F.one_hot(values[:, column], size).float() for column, size in enumerate(spec.cardinalities)]
        else:
            parts.append(values)
    return torch.cat(parts, 1).numpy()


def mlp_output(task: Task, train: Batch, test: Batch, specs: InputSpec) -> torch.Tensor:
    """Answers of scikit-learn's MLP for the test rows, in the form the task's head gives them."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    target = train.targets[task.name]
    keep = target.held().reshape(len(train)).numpy()
    y = target.values.reshape(len(train)).numpy()[keep]
    x, new = matrix(train, specs)[keep], matrix(test, specs)
    stop = len(x) > MANY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if task.kind == "regression":
            return torch.from_numpy(MLPRegressor(random_state=0, early_stopping=stop).fit(x, y).predict(new)).unsqueeze(
                1
            )
        model = MLPClassifier(random_state=0, early_stopping=stop).fit(x, y.astype(int))
    chance = np.log(np.clip(model.predict_proba(new), 1e-9, 1.0))
    if task.kind == "binary":
        return torch.from_numpy(chance[:, 1] - chance[:, 0]).unsqueeze(1)
    logits = np.full((len(new), task.outputs), np.log(1e-9))
    logits[:, model.classes_] = chance
    return torch.from_numpy(logits)


def beside(rows: Rows) -> dict[str, dict[str, float]]:
    """{method: {task: primary metric}} of what stands beside the network, with its seconds."""
    found: dict[str, dict[str, float]] = {"MLP (scikit-learn)": {}, "boosting": {}}
    seconds = dict.fromkeys(found, 0.0)
    for task in rows.tasks:
        data = rows.data.for_tasks([task.name])
        train, valid, test = (whole(data, split) for split in ("train", "valid", "test"))
        for method in found:
            began = time.monotonic()
            if method == "boosting":
                output = boosted_output(task, train, valid, test, rows.specs["main"], 0)
            else:
                output = mlp_output(task, train, test, rows.specs["main"])
            seconds[method] += time.monotonic() - began
            score = task.metrics.score(output, test.targets[task.name], test.weight)
            found[method][task.name] = score[task.metrics.primary]
    return {method: {**one, "seconds": seconds[method]} for method, one in found.items()}


def measured(name: str, preset: str, seconds: float) -> dict[str, dict]:
    """All methods on one table."""
    config = load_config(ROOT / "examples" / f"{name}.yaml", preset=preset).limited(seconds)
    rows = load_rows(config)
    began = time.monotonic()
    done = train_network(config, rows.data, rows.specs, rows.tasks, seed=0)
    spent = time.monotonic() - began
    tasks = {task.name: done.model.tasks[task.name] for task in rows.tasks}
    reached = scores(tasks, gathered(done.model, rows.data, "test"))
    own = {task: one[tasks[task].metrics.primary] for task, one in reached.items()}
    return {
        "metrics": {task: one.metrics.primary for task, one in tasks.items()},
        "scores": {f"cotrain, {preset}": {**own, "seconds": spent}, **beside(rows)},
    }


def table(results: dict[str, dict[str, dict]]) -> str:
    """One row a target, the best figure in bold, and how often the network is ahead."""
    methods = list(next(iter(results.values()))["scores"])
    lines = ["| table | target | " + " | ".join(methods) + " |", "|---" * (len(methods) + 2) + "|"]
    ahead, sets = dict.fromkeys(methods[1:], 0), dict.fromkeys(methods[1:], 0)
    targets = 0
    for name, found in results.items():
        ratios: dict[str, list[float]] = {method: [] for method in ahead}
        for task, metric in found["metrics"].items():
            values = {method: found["scores"][method][task] for method in methods}
            errors = {method: error_of(metric, value) for method, value in values.items()}
            best = min(errors.values())
            cells = [f"**{values[m]:.4g}**" if errors[m] == best else f"{values[m]:.4g}" for m in methods]
            lines.append(f"| {name} | {task} ({metric}) | " + " | ".join(cells) + " |")
            targets += 1
            for method in ahead:
                ahead[method] += errors[methods[0]] < errors[method]
                ratios[method].append(errors[methods[0]] / errors[method])
        seconds = [f"{found['scores'][method]['seconds']:.0f} s" for method in methods]
        lines.append(f"| {name} | seconds | " + " | ".join(seconds) + " |")
        for method in sets:
            sets[method] += float(np.exp(np.mean(np.log(ratios[method])))) < 1
    for method in ahead:
        lines.append(
            f"\nAgainst {method}: the smaller error on {ahead[method]} of {targets} targets; the smaller geometric mean of errors on "
            f"{sets[method]} of {len(results)} tables."
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--preset", default="good")
    parser.add_argument("--time-limit", type=float, default=120.0, help="seconds")
    parser.add_argument("--folder", type=Path, default=Path("runs/presets"), help="where what is done is kept")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in given.names:
        kept = given.folder / f"{name}-{given.preset}.json"
        if not kept.exists():
            kept.write_text(json.dumps(measured(name, given.preset, given.time_limit)), encoding="utf-8")
        results[name] = json.loads(kept.read_text(encoding="utf-8"))
        print(table({name: results[name]}), flush=True)
    print("\n" + table(results))


if __name__ == "__main__":
    main()
