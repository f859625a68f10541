"""Four samplers at equal budget on census income: does what they choose by the validation rows hold on the test rows?

    python examples/tables.py FOLDER                  makes the table once
    python benchmarks/tune_census.py                  40 trials a sampler, then five seeds of each winner; what is done is kept, and a second call goes on
    python benchmarks/tune_census.py --trials 3 --seeds 1 --rows 2000 --folder runs/try      a smoke test

The space is that of examples/tune_census.yaml. Random search, TPE, a genetic algorithm and a particle swarm (populations of 10, so that 40 trials
are four generations) begin with the same trial, the values the config stands at, and train every trial with the same seed on the same `tune.rows`
training rows for the config's epochs. The best trial by the validation rows (mean gain over tasks) and the values it began with ("untuned") are
then trained on all training rows with every seed; only these trainings meet the test rows, once each.
Prints two Markdown tables: AUC on the test rows, mean and spread over seeds; differences to "untuned" paired by seed, with 95 % t intervals.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from census_order import difference, spread

from cotrain.cli.tune import searched
from cotrain.recipe.config import Config
from cotrain.recipe.network import gathered, train_network
from cotrain.recipe.rows import load_rows
from cotrain.recipe.tune import Trials, Tuning
from cotrain.recipe.tune_run import described
from cotrain.search.front import pick
from cotrain.search.trial import Trial
from cotrain.search.worker import work
from cotrain.training.evaluate import scores

ROOT = Path(__file__).resolve().parent.parent
SAMPLERS: dict[str, Any] = {
    "random": "random",
    "tpe": "tpe",
    "genetic": {"name": "genetic", "population": 10},
    "particle_swarm": {"name": "particle_swarm", "population": 10},
}
BLOCK = 10
UNTUNED = "untuned"
MEAN = "mean"


def searches(given: argparse.Namespace, trials: int) -> dict[str, Tuning]:
    """One search a sampler, all else alike."""
    asked = {"trials": trials, "time": None} | ({} if given.rows is None else {"rows": given.rows})
    path = ROOT / "examples" / "tune_census.yaml"
    return {name: searched(path, False, {**asked, "sampler": sampler}, None) for name, sampler in SAMPLERS.items()}


def tried(given: argparse.Namespace) -> dict[str, tuple[Trial, ...]]:
    """{sampler: its trials}, those that are missing run now, BLOCK by BLOCK, so that all samplers are equally far whenever it is stopped."""
    trials: Trials | None = None
    done = {}
    for most in [*range(BLOCK, given.trials, BLOCK), given.trials]:
        for name, search in searches(given, most).items():
            study = search.study(str(given.folder / "study.db"), name=name)
            if study.store.left():
                trials = trials or Trials(search, given.folder)
                began = time.process_time()
                work(study, trials)
                print(f"{name}: {most} trials, {time.process_time() - began:.0f} CPU seconds", flush=True)
            done[name] = study.trials()[:most]
            study.close()
    return done


def retrained(given: argparse.Namespace, configs: dict[str, Config]) -> list[dict[str, Any]]:
    """Every config with every seed on all training rows, those that are missing now; one line each in the folder."""
    kept = given.folder / "retrained.jsonl"
    lines = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    rows = load_rows(configs[UNTUNED])
    found = []
    for seed in range(given.seeds):
        for name, config in configs.items():
            about = config.to_yaml()
            line = next((one for one in lines if (one["about"], one["seed"]) == (about, seed)), None)
            if line is None:
                began = time.process_time()
                done = train_network(config, rows.data, rows.specs, rows.tasks, seed=seed)
                reached = scores(done.model.tasks, gathered(done.model, rows.data, "test"))
                auc = {task: one["auc"] for task, one in reached.items()}
                line = {"about": about, "seed": seed, "auc": {**auc, MEAN: statistics.fmean(auc.values())},
                        "parameters": done.cost["parameters"], "seconds": round(time.process_time() - began, 1)}  # fmt: skip
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                lines.append(line)
                print(name, json.dumps({key: value for key, value in line.items() if key != "about"}), flush=True)
            found.append({**line, "name": name})
    return found


def table(done: list[dict[str, Any]], trials: dict[str, tuple[Trial, ...]], best: dict[str, Trial]) -> str:
    """The outcome as Markdown."""
    tasks = list(done[0]["auc"])
    lines = [
        f"| chosen by | validation gain | {' | '.join(f'{task} (auc)' for task in tasks)} | parameters | seconds |"
    ]
    lines.append("|---" * (len(tasks) + 4) + "|")
    for name in dict.fromkeys(one["name"] for one in done):
        own = [one for one in done if one["name"] == name]
        trial = best.get(name, next(iter(trials.values()))[0])
        cells = [f"{100 * trial.values['gain']:+.2f} %", *(spread([one["auc"][task] for one in own]) for task in tasks)]
        seconds = statistics.fmean(one["seconds"] for one in own)
        lines.append(f"| {name} | {' | '.join(cells)} | {own[0]['parameters']:,.0f} | {seconds:.0f} |")
    lines += ["", f"| AUC less that of {UNTUNED} | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for name in best:
        lines.append(f"| {name} | {' | '.join(difference(done, UNTUNED, name, task) for task in tasks)} |")
    lines.append("")
    for name, trial in best.items():
        seconds = sum(one.seconds for one in trials[name])
        failed = sum(one.state == "failed" for one in trials[name])
        lines.append(
            f"- {name}: trial {trial.number} of {len(trials[name])} ({failed} failed, {seconds:.0f} s in all), {described(trial)}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows of a trial, in place of the config's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/tune_census"), help="where what is done is kept")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.folder.mkdir(parents=True, exist_ok=True)
    trials = tried(given)
    search = next(iter(searches(given, given.trials).values()))
    best = {name: pick(search.problem, own) for name, own in trials.items()}
    configs = {UNTUNED: search.config} | {name: search.closed(trial.parameters) for name, trial in best.items()}
    print("\n" + table(retrained(given, configs), trials, best))


if __name__ == "__main__":
    main()
