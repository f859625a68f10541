"""Fixed task weights tuned with the same budget as each balancer: does any balancer still win?

    python examples/tables.py FOLDER; python examples/texts.py FOLDER      make the tables once
    python benchmarks/tuned_weights.py                                     all five sets; what is done is kept, and a second call goes on
    python benchmarks/tuned_weights.py slump --trials 2 --folder runs/try  a smoke test

Asked for by V. Kurin et al. (In Defense of the Unitary Scalarization for Deep Multi-Task Learning, NeurIPS 2022) and D. Xin et al. (Do Current
Multi-Task Optimization Methods in Deep Learning Even Help?, NeurIPS 2022): comparisons in which the plain sum and fixed weights had as many trials.
Every method has the same number of random trials, all at the same learning rates (an eighth to eight times the usual one, log-uniform), the first
at the usual one with equal weights. `static` draws a weight a task as well (a fifth to five, log-uniform), `famo` its gamma (0.0001 to 0.1);
the others have nothing but the rate. Each method's best trial by the validation rows (mean over tasks of the error relative to that of the sum at the
usual rate) is trained anew with other seeds, and only these trainings meet the test rows, once. slump, jura and wq: folds drawn once with seed 0, two
tenths test, two tenths choose (everything, the rate included, is chosen anew in every fold); census: 20,000 training rows of
examples/census.yaml; druglib: examples/druglib.yaml with fewer epochs.
Prints a Markdown table: error relative to that of `sum`, geometric mean over tasks, with the 95 % t interval over folds or seeds, paired.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from mulan import folds_of
from scipy.stats import t as student

from cotrain.core.state import write_json
from cotrain.recipe.network import Trained, gathered, train_network
from cotrain.recipe.problems import Origin
from cotrain.recipe.rows import Rows
from cotrain.recipe.tune import Trials, Tuning, tuning
from cotrain.recipe.yaml_source import Source, read_yaml
from cotrain.search.front import pick
from cotrain.search.worker import work
from cotrain.training.evaluate import scores

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("sum", "static", "uncertainty", "famo", "nash_mtl", "db_mtl")
BASE, FIXED = "sum", "static"
TENTHS = 10


@dataclass(frozen=True)
class Set:
    """How a data set is gone through. folds: of cross-validation; 1: the split of its example. seeds: trainings of every choice a fold.

    rate: the usual learning rate. rows: training rows at most.
    """

    epochs: int
    batch_size: int
    trials: int
    folds: int
    seeds: int
    rate: float = 2e-3
    rows: int | None = None


SETS = {
    "census": Set(4, 512, 6, folds=1, seeds=4, rows=20_000),
    "slump": Set(30, 16, 6, folds=5, seeds=1),
    "jura": Set(30, 32, 6, folds=5, seeds=1),
    "wq": Set(15, 64, 6, folds=5, seeds=1),
    "druglib": Set(2, 32, 3, folds=1, seeds=2, rate=1e-3),
}


def log_range(low: float, high: float, default: float) -> dict[str, Any]:
    return {"search": {"low": low, "high": high, "log": True, "default": default}}


def balance(method: str, tasks: list[str]) -> dict[str, Any]:
    """The method with what is open in it."""
    if method == FIXED:
        return {"name": method, "weights": {task: log_range(0.2, 5.0, 1.0) for task in tasks}}
    if method == "famo":
        return {"name": method, "gamma": log_range(1e-4, 1e-1, 1e-2)}
    return {"name": method}


def search(name: str, about: Set, method: str, fold: int, trials: int) -> Tuning:
    """What one method may try on one fold. The rate comes first in the space, so that all methods are given the same ones."""
    train = {
        "optimizer": {"lr": log_range(about.rate / 8, 8 * about.rate, about.rate)}, "epochs": about.epochs, "batch_size": about.batch_size,
        "schedule": {"name": "cosine", "warmup": 0.1}, "early_stopping": None, "diagnose": None,
    }  # fmt: skip
    tune = {"sampler": "random", "trials": trials, "single": False} | (
        {} if about.rows is None else {"rows": about.rows}
    )
    if about.folds > 1:
        frame = pl.read_parquet(ROOT / "examples" / "data" / f"{name}.parquet")
        tasks = [column for column in frame.columns if column.startswith("target_")]
        part = (folds_of(len(frame)) - 2 * fold) % TENTHS
        table = frame.with_columns(pl.Series("part", np.select([part < 2, part < 4], ["test", "valid"], "train")))
        tree = {
            "data": {"split": {"method": "column", "by": "part"}, "cache": None},
            "tasks": dict.fromkeys(tasks, "regression"),
            "encoder": {"name": "mlp", "widths": [128, 128]},
        }
        folder = None
    else:
        folder, table = ROOT / "examples", None
        tree = {
            key: one for key, one in read_yaml(folder / f"{name}.yaml").tree.items() if key not in ("train", "preset")
        }
        tasks = list(tree["tasks"])
    whole = {"name": f"{name}-{method}", "train": train, "balance": balance(method, tasks), "tune": tune, **tree}
    return tuning(Source(whole, Origin()), folder, table=table)


def errors(done: Trained, rows: Rows, split: str) -> dict[str, float]:
    """{task: primary error on a split}."""
    reached = scores(done.model.tasks, gathered(done.model, rows.data, split))
    return {task: done.model.tasks[task].error(one) for task, one in reached.items()}


def measured(name: str, about: Set, fold: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """One line a training of this fold that met the test rows; what is missing is done now."""
    kept = given.folder / f"{name}.jsonl"
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    trials = given.trials or about.trials
    folder = given.folder / f"{name}-{fold}"
    folder.mkdir(exist_ok=True)
    run: Trials | None = None
    found = []
    for method in given.methods:
        key = {"method": method, "fold": fold, "trials": trials, "epochs": about.epochs}
        own = [one for one in lines if all(one[part] == value for part, value in key.items())]
        if len(own) < about.seeds and not given.table:
            one = search(name, about, method, fold, trials)
            run = beginning(one, folder, run)
            study = one.study(str(folder / "study.db"), name=f"{method}-{trials}-{about.epochs}")
            began = time.process_time()
            work(study, run)
            tried = study.trials()
            study.close()
            best = pick(one.problem, tried)
            config = one.closed(best.parameters)
            rows = run.rows(config)
            for seed in range(1 + len(own), 1 + about.seeds):  # trials had seed 0
                done = train_network(config, rows.data, rows.specs, rows.tasks, seed=seed)
                line = {**key, "seed": seed, "errors": errors(done, rows, "test"), "best": best.number, "parameters": best.parameters,
                        "gains": [trial.values.get("gain") for trial in tried]}  # fmt: skip
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                own.append(line)
            print(f"{name}, fold {fold}, {method}: {time.process_time() - began:.0f} CPU seconds", flush=True)
        found += own
    return found


def beginning(search: Tuning, folder: Path, run: Trials | None) -> Trials:
    """What runs the trials of a search, with the rows that were read for the one before.

    Errors count relative to those of the first search's beginning, which is the sum at the usual rate.
    """
    if run is None:
        if not (folder / "baseline.json").exists():
            write_json(folder / "baseline.json", dict.fromkeys(search.config.tasks, 1.0))
            first = Trials(search, folder)
            rows = first.rows(search.config)
            done = train_network(search.config, rows.data, rows.specs, rows.tasks, seed=search.config.seed)
            write_json(folder / "baseline.json", errors(done, rows, "valid"))
        return Trials(search, folder)
    run.tuning = search
    return run


def relative(lines: list[dict[str, Any]], method: str, base: str) -> str:
    """How much larger the error is than that of `base`: geometric mean over tasks, paired by fold (means over seeds) or by seed."""
    folds = sorted({one["fold"] for one in lines})
    unit = "fold" if len(folds) > 1 else "seed"

    def logs(name: str) -> dict[int, float]:
        found: dict[int, list[float]] = {}
        for one in lines:
            if one["method"] == name:
                logs = [math.log(error) for error in one["errors"].values()]
                found.setdefault(one[unit], []).append(statistics.fmean(logs))
        return {key: statistics.fmean(values) for key, values in found.items()}

    own, other = logs(method), logs(base)
    apart = [own[key] - other[key] for key in sorted(set(own) & set(other))]
    if len(apart) < 2:
        return "-"
    mean = statistics.fmean(apart)
    half = student.ppf(0.975, len(apart) - 1) * statistics.stdev(apart) / len(apart) ** 0.5
    low, middle, high = (100 * math.expm1(value) for value in (mean - half, mean, mean + half))
    cell = f"{middle:+.1f} % ({low:+.1f} to {high:+.1f})"
    return f"**{cell}**" if high < 0 or low > 0 else cell


def table(results: dict[str, list[dict[str, Any]]], base: str) -> str:
    """One row a set, one column a method; in bold where the interval leaves 0 out."""
    others = [one for one in METHODS if one != base]
    lines = [
        f"| error relative to `{base}` | trials | repeats | {' | '.join(others)} |",
        "|---" * (len(others) + 3) + "|",
    ]
    for name, found in results.items():
        folds, seeds = (len({one[key] for one in found}) for key in ("fold", "seed"))
        repeats = f"{seeds} seeds" if folds == 1 else f"{folds} folds" + (f" x {seeds} seeds" if seeds > 1 else "")
        cells = [relative(found, one, base) for one in others]
        lines.append(f"| {name} | {found[0]['trials']} | {repeats} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rates(results: dict[str, list[dict[str, Any]]]) -> str:
    """What the learning rate alone does to the sum, and what the methods differ by, on the validation rows."""
    lines = [
        "| gain on the validation rows | the sum, worst to best rate | the methods at their best, worst to best |",
        "|---|---|---|",
    ]
    for name, found in results.items():
        swing, apart = [], []
        for fold in sorted({one["fold"] for one in found}):
            own = {
                one["method"]: [gain for gain in one["gains"] if gain is not None]
                for one in found
                if one["fold"] == fold
            }
            swing.append((min(own[BASE]), max(own[BASE])))
            apart.append((min(max(gains) for gains in own.values()), max(max(gains) for gains in own.values())))
        cells = [
            " to ".join(f"{100 * statistics.fmean(ends):+.1f} %" for ends in zip(*both, strict=True))
            for both in (swing, apart)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--trials", type=int, help="of every method, in place of the set's")
    parser.add_argument("--table", action="store_true", help="what has been done so far, and nothing more")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/tuned_weights"), help="where what is done is kept")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {}
    for fold in range(
        max(SETS[name].folds for name in given.sets)
    ):  # a fold of every set, so that all have some when time is up
        for name in given.sets:
            if fold < SETS[name].folds:
                results.setdefault(name, []).extend(measured(name, SETS[name], fold, given))
    whole = {name: found for name, found in results.items() if {one["method"] for one in found} >= {BASE, FIXED}}
    print("\n\n".join([table(whole, BASE), table(whole, FIXED), rates(whole)]))


if __name__ == "__main__":
    main()
