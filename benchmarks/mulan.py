"""Six multi-target regression sets in 10-fold cross-validation: one network for all targets, one a target, trees, ridge.

    python examples/tables.py FOLDER                       makes the tables once
    python benchmarks/mulan.py                             all six sets
    python benchmarks/mulan.py slump jura --preset good    some of them

Figure: aRRMSE, the mean over targets of RMSE / RMSE of the training rows' mean, on the rows of each fold, averaged over the folds (Spyromitros-Xioufis
et al., Machine Learning 104, 2016). Folds are drawn once with seed 0. A ninth of each fold's training rows chooses the epoch of the
networks; trees and ridge are fitted on all of them. Settings are those of the preset; nothing was tuned on these sets' test rows.
Prints a Markdown table; ± is the half width of the 95 % interval of the mean over folds.
"""

from __future__ import annotations

import argparse
import json
import time
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
SETS = ("jura", "slump", "scpf", "wq", "atp1d", "oes97")
FOLDS = 10


def folds_of(rows: int) -> NDArray[np.int64]:
    """[rows] the fold of every row."""
    order = np.random.default_rng(0).permutation(rows)
    out = np.empty(rows, dtype=np.int64)
    out[order] = np.arange(rows) % FOLDS
    return out


def arrmse(guess: Array, truth: Array, mean: Array) -> float:
    """Mean over targets of RMSE over that of the training rows' mean; a target that does not vary in the fold is left out."""
    above, below = np.square(guess - truth).sum(0), np.square(mean - truth).sum(0)
    return float(np.sqrt(above[below > 0] / below[below > 0]).mean())


def networks(frame: pl.DataFrame, fold: NDArray[np.int64], test: int, preset: str, seed: int, single: bool) -> Array:
    """[test rows, targets] answers of one network for all targets, or of one a target."""
    targets = [name for name in frame.columns if name.startswith("target_")]
    part = np.where(fold == test, "test", np.where(fold == (test + 1) % FOLDS, "valid", "train"))
    config = config_from_dict(
        {
            "data": {"split": {"method": "column", "by": "part"}, "cache": None},
            "tasks": dict.fromkeys(targets, "regression"),
            "preset": preset,
            "seed": seed,
        },
        table=frame.with_columns(pl.Series("part", part)),
    )
    rows = load_rows(config)
    answers: dict[str, Array] = {}
    for group in [[task] for task in rows.tasks] if single else [list(rows.tasks)]:
        model = train_network(config, rows.data, rows.specs, group, seed=seed).model
        for _, outputs in predictions(model, [rows.data.batch(rows.data.rows("test"))]):
            for name, output in outputs.items():
                answers[name] = np.asarray(model.tasks[name].decode(output)[name])
    return np.stack([answers[name] for name in targets], 1)


def others() -> dict[str, Callable[[], object]]:
    """What stands beside the networks, by name: each takes all targets or one."""
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trees = lambda: ExtraTreesRegressor(300, random_state=0)  # noqa: E731
    return {
        "trees, one forest a target": lambda: MultiOutputRegressor(trees()),
        "trees, one forest": trees,
        "boosting": lambda: MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0)),
        "ridge": lambda: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 4, 15))),
    }


def measured(name: str, preset: str, single: bool) -> dict[str, list[float]]:
    """{method: aRRMSE of every fold}, with the seconds of each method under "seconds: method"."""
    frame = pl.read_parquet(ROOT / "examples" / "data" / f"{name}.parquet")
    targets = [column for column in frame.columns if column.startswith("target_")]
    y = frame[targets].to_numpy().astype(np.float64)
    x = frame.drop(targets).to_dummies(pl.selectors.string()).to_numpy().astype(np.float64)
    fold = folds_of(len(frame))
    found: dict[str, list[float]] = {}

    def add(method: str, began: float, guess: Array, held: NDArray[np.bool_]) -> None:
        found.setdefault(method, []).append(arrmse(guess, y[held], y[~held].mean(0)))
        found.setdefault(f"seconds: {method}", []).append(time.monotonic() - began)

    for test in range(FOLDS):
        held = fold == test
        for method, make in others().items():
            began = time.monotonic()
            add(method, began, make().fit(x[~held], y[~held]).predict(x[held]), held)  # type: ignore[attr-defined]
        for method, alone in (("joint", False), ("single-task", True)):
            if single or not alone:
                began = time.monotonic()
                add(method, began, networks(frame, fold, test, preset, 0, alone), held)
        print(f"{name}: fold {test + 1} of {FOLDS}", flush=True)
    return found


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """The outcome as Markdown, one row a set."""
    methods = [key for key in next(iter(results.values())) if not key.startswith("seconds")]
    lines = ["| set | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for name, found in results.items():
        best = min(np.mean(found[method]) for method in methods)
        cells = []
        for method in methods:
            mean, half = np.mean(found[method]), 2.262 * np.std(found[method], ddof=1) / np.sqrt(FOLDS)
            cells.append(f"**{mean:.3f}** ± {half:.3f}" if mean == best else f"{mean:.3f} ± {half:.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Seconds a fold: " + "; ".join(
        f"{name} " + ", ".join(f"{method} {np.mean(found[f'seconds: {method}']):.1f}" for method in methods)
        for name, found in results.items()
    )]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--preset", default="good")
    parser.add_argument("--no-single", action="store_true", help="leave out the networks of one target")
    parser.add_argument("--folder", type=Path, default=Path("runs/mulan"), help="where what is done is kept")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in given.sets:
        kept = given.folder / f"{name}-{given.preset}{'-joint' if given.no_single else ''}.json"
        if not kept.exists():
            kept.write_text(json.dumps(measured(name, given.preset, not given.no_single)), encoding="utf-8")
        results[name] = json.loads(kept.read_text(encoding="utf-8"))
    print(table(results))


if __name__ == "__main__":
    main()
