"""Six multi-target regression sets in 10-fold cross-validation: one network for all targets, one a target, trees, ridge, scikit-learn's MLP.

    python examples/tables.py FOLDER                       makes the tables once
    python benchmarks/mulan.py                             all six sets
    python benchmarks/mulan.py slump jura --preset good    some of them

Figure: aRRMSE, the mean over targets of RMSE / RMSE of the training rows' mean, on the rows of each fold, averaged over the folds (Spyromitros-Xioufis
et al., Machine Learning 104, 2016). Folds are drawn once with seed 0; all methods are fitted on the same nine tenths. Networks have the
preset's settings and no validation rows, so that they end with their last weights. Single-task: `sharing: none`, a whole network a
target, trained side by side. Trees: 300 extremely randomised ones; boosting and MLP with scikit-learn's defaults on standardised columns.
Missing numbers are themselves for trees and the training rows' mean for MLP and ridge.
Prints a Markdown table, ± the half width of the 95 % interval of the mean over folds, and on how many targets `joint` is ahead.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.recipe.config import config_from_dict
from cotrain.recipe.network import train_network
from cotrain.recipe.rows import load_rows
from cotrain.training.evaluate import predictions

Array = NDArray[np.float64]
ROOT = Path(__file__).resolve().parent.parent
FOLDS = 10
SETS = ("slump", "jura", "scpf", "wq", "atp1d", "oes97")

FEW = 2_000
"""Sets with more rows x targets have their single-task networks trained on request only: a fold of them takes minutes."""


def folds_of(rows: int) -> NDArray[np.int64]:
    """[rows] the fold of every row."""
    order = np.random.default_rng(0).permutation(rows)
    out = np.empty(rows, dtype=np.int64)
    out[order] = np.arange(rows) % FOLDS
    return out


def rrmse(guess: Array, truth: Array, mean: Array) -> list[float | None]:
    """RMSE over that of the training rows' mean, one a target; None for a target that does not differ from it in the fold."""
    above, below = np.square(guess - truth).sum(0), np.square(mean - truth).sum(0)
    return [float(np.sqrt(one / other)) if other > 0 else None for one, other in zip(above, below, strict=True)]


def mean(errors: list[float | None]) -> float:
    """Their mean, over the targets that have one."""
    return float(np.mean([one for one in errors if one is not None]))


def network(frame: pl.DataFrame, fold: NDArray[np.int64], test: int, preset: str, sharing: str) -> Array:
    """[test rows, targets] answers of one network for all targets, or (sharing none) of one a target."""
    targets = [name for name in frame.columns if name.startswith("target_")]
    config = config_from_dict(
        {
            "data": {"split": {"method": "column", "by": "part"}, "cache": None},
            "tasks": dict.fromkeys(targets, "regression"),
            "preset": preset,
            "sharing": sharing,
            "train": {"diagnose": None},
        },
        table=frame.with_columns(pl.Series("part", np.where(fold == test, "test", "train"))),
    )
    rows = load_rows(config)
    model = train_network(config, rows.data, rows.specs, list(rows.tasks), seed=0).model
    answers = {name: [] for name in targets}  # type: dict[str, list[Array]]
    for _, outputs in predictions(model, [rows.data.batch(rows.data.rows("test"))]):
        for name, output in outputs.items():
            answers[name].append(np.asarray(model.tasks[name].decode(output)[name]))
    return np.stack([np.concatenate(answers[name]) for name in targets], 1)


def others() -> dict[str, Callable[[], object]]:
    """What stands beside the networks, by name: each takes all targets or one."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import RidgeCV
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trees = lambda: ExtraTreesRegressor(300, random_state=0)  # noqa: E731
    return {
        "trees, one forest a target": lambda: MultiOutputRegressor(trees()),
        "trees, one forest": trees,
        "boosting": lambda: MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0)),
        "MLP (scikit-learn)": lambda: TransformedTargetRegressor(
            make_pipeline(SimpleImputer(), StandardScaler(), MLPRegressor(random_state=0)), transformer=StandardScaler()
        ),
        "ridge": lambda: make_pipeline(SimpleImputer(), StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))),
    }


def measured(name: str, preset: str, single: bool) -> dict[str, dict[str, list]]:
    """{method: {"errors": RRMSE of every fold and target, "seconds": of every fold}}."""
    frame = pl.read_parquet(ROOT / "examples" / "data" / f"{name}.parquet")
    targets = [column for column in frame.columns if column.startswith("target_")]
    y = frame[targets].to_numpy().astype(np.float64)
    x = frame.drop(targets).to_dummies(pl.selectors.string()).to_numpy().astype(np.float64)
    fold = folds_of(len(frame))
    ways: dict[str, Callable[[int], Array]] = {
        "joint": lambda test: network(frame, fold, test, preset, "hard"),
        "single-task": lambda test: network(frame, fold, test, preset, "none"),
    }
    if not single and len(frame) * len(targets) > FEW:
        del ways["single-task"]
    for method, make in others().items():
        ways[method] = lambda test, make=make: make().fit(x[fold != test], y[fold != test]).predict(x[fold == test])  # type: ignore[misc]
    found: dict[str, dict[str, list]] = {method: {"errors": [], "seconds": []} for method in ways}
    for test in range(FOLDS):
        for method, answer in ways.items():
            began = time.monotonic()
            guess = answer(test)
            found[method]["seconds"].append(time.monotonic() - began)
            found[method]["errors"].append(rrmse(guess, y[fold == test], y[fold != test].mean(0)))
        print(f"{name}: fold {test + 1} of {FOLDS}", flush=True)
    return found


def table(results: dict[str, dict[str, dict[str, list]]]) -> str:
    """The outcome as Markdown, one row a set, and below it the targets on which the joint network is ahead."""
    methods = max((list(found) for found in results.values()), key=len)
    lines = ["| set | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    ahead: dict[str, list[bool]] = {method: [] for method in methods[1:]}
    for name, found in results.items():
        per_fold = {method: [mean(errors) for errors in one["errors"]] for method, one in found.items()}
        best = min(np.mean(values) for values in per_fold.values())
        cells = []
        for method in methods:
            values = per_fold.get(method)
            if values is None:
                cells.append("-")
                continue
            half = 2.262 * np.std(values, ddof=1) / np.sqrt(FOLDS)
            figure = f"**{np.mean(values):.3f}**" if np.mean(values) == best else f"{np.mean(values):.3f}"
            cells.append(f"{figure} ± {half:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        by_target = {
            method: [mean(list(errors)) for errors in zip(*one["errors"], strict=True)] for method, one in found.items()
        }
        for method in ahead:
            ahead[method] += [
                own < other for own, other in zip(by_target["joint"], by_target.get(method, []), strict=False)
            ]
    counts = "; ".join(f"{method} {sum(one)} of {len(one)}" for method, one in ahead.items())
    seconds = "; ".join(
        f"{name} " + ", ".join(f"{method} {np.median(one['seconds']):.1f}" for method, one in found.items())
        for name, found in results.items()
    )
    lines += [
        "",
        f"Targets on which `joint` has the smaller error, against: {counts}.",
        "",
        f"Seconds a fold: {seconds}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--preset", default="good")
    parser.add_argument("--single", action="store_true", help="single-task networks of the larger sets too")
    parser.add_argument("--folder", type=Path, default=Path("runs/mulan"), help="where what is done is kept")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # scikit-learn's MLP says that its default 200 rounds do not always converge
    given.folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in given.sets:
        kept = given.folder / f"{name}-{given.preset}.json"
        if not kept.exists():
            kept.write_text(json.dumps(measured(name, given.preset, given.single)), encoding="utf-8")
        results[name] = json.loads(kept.read_text(encoding="utf-8"))
    print(table(results))


if __name__ == "__main__":
    main()
