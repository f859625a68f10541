"""Workers in processes of their own, ended by kill -9 in the middle: exactly the wanted trials, each finished once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from search.toys import PROBLEMS

from cotrain.search.genetic import Genetic
from cotrain.search.study import Study

pytest.importorskip("pymoo")

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys, time
sys.path.insert(0, "tests")
from search.toys import PROBLEMS, sphere
from cotrain.search.genetic import Genetic
from cotrain.search.study import Study
from cotrain.search.worker import work

def objective(running):
    with open(sys.argv[2], "a") as log:
        log.write(f"{running.trial.number} {running.trial.attempt}\\n")
    time.sleep(0.02)
    return {"f": sphere(running.parameters)}

work(Study(PROBLEMS["numbers"], Genetic(population=5), trials=40, place=sys.argv[1], name="kills", lease=0.5, attempts=50), objective)
"""


@pytest.mark.slow
def test_killed_workers_leave_no_trial_undone_and_none_done_twice(shared: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}

    def begin() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, shared, str(log)], cwd=ROOT, env=environment)

    workers = [begin() for _ in range(2)]
    draw = random.Random(0)
    kills, give_up = 0, time.monotonic() + 120
    while any(worker.poll() is None for worker in workers):
        assert time.monotonic() < give_up
        time.sleep(0.02)
        begun = len(log.read_text().splitlines())
        if kills < 3 and begun > 10 * (kills + 1):
            alive = [index for index, worker in enumerate(workers) if worker.poll() is None]
            if alive:
                index = draw.choice(alive)
                workers[index].send_signal(signal.SIGKILL)
                workers[index].wait()
                workers[index] = begin()
                kills += 1
    assert kills == 3
    assert [worker.returncode for worker in workers] == [0, 0]
    with closing(Study(PROBLEMS["numbers"], Genetic(population=5), trials=40, place=shared, name="kills")) as study:
        trials = study.trials()
    assert [trial.number for trial in trials] == list(range(40))
    assert {trial.state for trial in trials} == {"complete"}
    assert all(trial.parameters for trial in trials)
    again = [count for count in Counter(line.split()[0] for line in log.read_text().splitlines()).values() if count > 1]
    assert len(again) <= kills  # begun twice: those alone that were running when their worker was killed
