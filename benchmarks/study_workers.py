"""Four workers on one study in PostgreSQL, some of them killed with kill -9: is the count exact, and what does a trial cost beside its work?

    python benchmarks/study_workers.py [--trials 200] [--workers 4] [--kills 8] [--sampler genetic] [--place URL] [--out results.jsonl]

Each trial sleeps for 50 ms. Without --place a server of its own is started (PostgreSQL's programs must be installed); --place takes any place
of a study, a file as well. Overhead of a trial: from the end of one objective to the begin of the next in the same worker: telling,
taking a number, reading what others found, asking the sampler. A worker's first trial, which loads the libraries, is counted apart.
One JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cotrain.search.gallery import SAMPLERS
from cotrain.search.problem import Objective, Problem
from cotrain.search.space import Space
from cotrain.search.study import Study
from cotrain.search.worker import Running, work

ROOT = Path(__file__).resolve().parent.parent
SLEEP = 0.05
PROBLEM = Problem(
    Space.from_json({f"x{index}": {"kind": "float", "low": -5.0, "high": 5.0} for index in range(5)}), (Objective("f"),)
)


def opened(arguments: argparse.Namespace, place: str) -> Study:
    sampler = SAMPLERS[arguments.sampler]()
    return Study(PROBLEM, sampler, trials=arguments.trials, place=place, name="workers", lease=2.0, attempts=20)


def run_worker(arguments: argparse.Namespace) -> None:
    """Write a line for each trial: number, attempt, seconds since the objective before ended."""
    ended = [time.perf_counter()]

    def objective(running: Running) -> dict[str, float]:
        overhead = time.perf_counter() - ended[0]
        with arguments.log.open("a") as log:
            log.write(json.dumps([os.getpid(), running.trial.number, running.trial.attempt, overhead]) + "\n")
        time.sleep(SLEEP)
        ended[0] = time.perf_counter()
        return {"f": sum((float(value) - 1.0) ** 2 for value in running.parameters.values())}  # type: ignore[arg-type]

    work(opened(arguments, arguments.place), objective)


def measure(arguments: argparse.Namespace, place: str, log: Path) -> dict[str, Any]:
    """Start the workers, kill some, start others in their place, and count."""
    command = [sys.executable, __file__, "--worker", "--place", place, "--log", str(log)]
    command += ["--trials", str(arguments.trials), "--sampler", arguments.sampler]
    workers = [subprocess.Popen(command) for _ in range(arguments.workers)]
    draw, kills, begun = random.Random(0), 0, time.monotonic()
    while any(worker.poll() is None for worker in workers):
        time.sleep(0.02)
        trials = len(log.read_text().splitlines())
        if kills < arguments.kills and trials > (kills + 1) * arguments.trials / (arguments.kills + 2):
            index = draw.randrange(len(workers))
            workers[index].kill()
            workers[index].wait()
            workers[index] = subprocess.Popen(command)
            kills += 1
    seconds = time.monotonic() - begun
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    overheads, seen = [], set()
    for pid, _, _, overhead in lines:
        if pid in seen:
            overheads.append(overhead)
        seen.add(pid)
    with contextlib.closing(opened(arguments, place)) as study:
        told = study.trials()
    return {
        "place": place.partition(":")[0],
        "sampler": arguments.sampler,
        "workers": arguments.workers,
        "kills": kills,
        "wanted": arguments.trials,
        "finished": sum(trial.finished for trial in told),
        "complete": sum(trial.state == "complete" for trial in told),
        "numbers": len({trial.number for trial in told}),
        "begun": len(lines),
        "overhead_ms": {
            "mean": round(1000 * statistics.fmean(overheads), 1),
            "median": round(1000 * statistics.median(overheads), 1),
            "ninth decile": round(1000 * statistics.quantiles(overheads, n=10)[-1], 1),
        },
        "seconds": round(seconds, 1),
        "load": [round(one, 1) for one in os.getloadavg()],
    }


def main() -> None:
    """Measure and append."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--sampler", default="genetic")
    parser.add_argument("--place", default=None)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run_worker(arguments)
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = arguments.place or stack.enter_context(server())
        log = folder / "log"
        log.touch()
        text = json.dumps(measure(arguments, place, log))
    sys.stdout.write(text + "\n")
    if arguments.out is not None:
        with arguments.out.open("a") as file:
            file.write(text + "\n")


def server() -> contextlib.AbstractContextManager[str]:
    """The tests' own PostgreSQL server."""
    sys.path.insert(0, str(ROOT / "tests"))
    from search.server import running

    return running()


if __name__ == "__main__":
    main()
