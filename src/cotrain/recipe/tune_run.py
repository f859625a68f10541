"""A whole tuning: trials by one or several workers, the pick, and the winner trained again beside what it has to beat."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cotrain.core.errors import StudyError
from cotrain.core.state import plain, write_json
from cotrain.recipe.compare import compare
from cotrain.recipe.config import Config
from cotrain.recipe.folder import new_folder, newest_folder, write_text
from cotrain.recipe.tune import Trials, Tuning
from cotrain.recipe.tune_check import check_search
from cotrain.search.front import pareto_front, pick
from cotrain.search.importance import importances
from cotrain.search.problem import Problem
from cotrain.search.study import Study
from cotrain.search.trial import Trial
from cotrain.search.worker import Running, work

FORMAT = 1
UNTUNED = "untuned"
LOOK = 2.0
"""Seconds between two looks at what other processes do."""

Say = Callable[[str], None]
Watch = Callable[[Problem, Sequence[Trial]], None]


def tune(
    search: Tuning,
    *,
    folder: Path | str | None = None,
    resume: bool = False,
    workers: int = 1,
    only_work: bool = False,
    progress: Say | None = None,
    watch: Watch | None = None,
) -> Path:
    """Search, pick, train the winner again with several seeds and compare; the run folder of the winner, with tune.json in it.

    folder: the one to make, or runs/<name>-tune. resume: go on in that folder; no trial is run twice. workers: processes on this machine.
    only_work: run trials until there are none left, and leave the rest to whoever shares the study. watch: is shown the trials now and then.
    Raises ConfigProblems and the like for mistakes, StudyError if no trial came to anything.
    """
    say, watch = progress or (lambda text: None), watch or (lambda problem, trials: None)
    name = f"{search.config.name}-tune"
    check_search(search)
    path = newest_folder(name, folder) if resume else new_folder(name, folder)
    began = time.monotonic()
    trials = trials_of(search, path, workers, watch, say)
    if only_work:
        return path
    spent = time.monotonic() - began
    picked = pick(search.problem, trials, search.settings.pick)
    say(f"picked trial {picked.number}: {described(picked)}")
    alone: Config | None = None
    apart = search.apart() if search.settings.single else None
    if apart is not None:
        say("the same search for single-task networks")
        best = pick(apart.problem, trials_of(apart, path, workers, watch, say))
        alone = apart.closed(best.parameters)
        say(f"best of them: trial {best.number}: {described(best)}")
    winner, beside = final(search, picked)
    write_json(path / "tune.json", plain(outcome(search, trials, picked, spent)))
    write_text(path / "config.yaml", winner.to_yaml())
    compare(winner, folder=path, progress=say, resume=True, single=alone, beside=beside)
    return path


def trials_of(search: Tuning, path: Path, workers: int, watch: Watch, say: Say) -> tuple[Trial, ...]:
    """All trials of a study, run by as many workers as asked for. Raises StudyError if none of them is complete."""
    until = None if search.settings.time is None else time.monotonic() + search.settings.time
    place = search.settings.storage or str(path / "study.db")
    if search.settings.storage is None:
        path.mkdir(parents=True, exist_ok=True)
    study = search.study(place)
    objective = Trials(search, path, say)
    if workers == 1:
        work(study, _shown(objective, study, watch), until=until)
    else:
        _several(search, path, place, workers, until, study, watch)
    trials = study.trials()
    watch(study.problem, trials)
    study.close()
    failed = [trial for trial in trials if trial.state == "failed"]
    if failed:
        say(f"{len(failed)} trials failed, the first because {failed[0].error}")
    return trials


def _shown(objective: Trials, study: Study, watch: Watch) -> Callable[[Running], Mapping[str, float]]:
    def run(running: Running) -> Mapping[str, float]:
        watch(study.problem, study.trials())
        return objective(running)

    return run


def _several(
    search: Tuning, path: Path, place: str, workers: int, until: float | None, study: Study, watch: Watch
) -> None:
    """Worker processes that run trials until there are none left; this one looks on."""
    context = multiprocessing.get_context("spawn")
    left = None if until is None else until - time.monotonic()
    processes = [
        context.Process(target=run_worker, args=(search, path, place, left), daemon=True) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            watch(study.problem, study.trials())
            for process in processes:
                process.join(LOOK / workers)
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    codes = [process.exitcode for process in processes]
    if all(codes) and study.store.left():
        raise StudyError(f"all {workers} workers ended early (exit codes {codes}); run with one worker to see why")


def run_worker(search: Tuning, path: Path, place: str, seconds: float | None) -> None:
    """One worker process. It does not outlive the one that began it, even if that is killed: its trial is then begun again."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    study = search.study(place)
    work(study, Trials(search, path), until=None if seconds is None else time.monotonic() + seconds)
    study.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def final(search: Tuning, picked: Trial) -> tuple[Config, dict[str, Config]]:
    """The winner's config, to be trained with the seeds of the search, and what stands beside it: the values the search began with, where these
    were said and are others.
    """
    winner = search.closed(picked.parameters)
    winner = dataclasses.replace(winner, compare=dataclasses.replace(winner.compare, seeds=search.settings.seeds))
    began = search.open.default is not None and search.open.default != dict(picked.parameters)
    return winner, {UNTUNED: search.config} if began else {}


def outcome(search: Tuning, trials: Sequence[Trial], picked: Trial, seconds: float) -> dict[str, Any]:
    """tune.json: what was searched, every trial, the front, the pick, which settings mattered."""
    problem = search.problem
    front = [trial.number for trial in pareto_front(problem, trials)]
    return {
        "format": FORMAT,
        "sampler": search.settings.sampler.name,
        "pruner": None if search.settings.pruner is None else search.settings.pruner.name,
        "problem": problem.to_json(),
        "trials": [trial.to_json() for trial in trials],
        "front": front,
        "picked": picked.number,
        "rule": search.settings.pick,
        "default": next((trial.number for trial in trials if trial.parameters == search.open.default), None),
        "importance": {
            objective.name: importances(problem, trials, objective.name) for objective in problem.objectives
        },
        "budget": {
            "trials": search.settings.trials,
            "seconds": search.settings.time,
            "spent": seconds,
            "trained": sum(trial.seconds for trial in trials),
        },
    }


def described(trial: Trial) -> str:
    """A trial's values in one line.

    >>> described(Trial(number=0, parameters={"lr": 0.001, "sharing": "mmoe"}).completed({"gain": 0.0213}))
    'gain 0.0213 (lr=0.001, sharing=mmoe)'
    """
    reached = ", ".join(f"{name} {value:.4g}" for name, value in list(trial.values.items())[:1])
    chosen = ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in trial.parameters.items()
    )
    return f"{reached} ({chosen})"
