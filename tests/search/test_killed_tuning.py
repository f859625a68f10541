"""`cotrain tune` ended by kill -9 in the middle and begun again: exactly the asked trials, each once, and a winner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cotrain.core.errors import StudyError
from cotrain.search.database import connect
from cotrain.search.trial import Trial

pytest.importorskip("optuna")
pytest.importorskip("pymoo")

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 24
CONFIG = f"""\
name: killed
data: {{path: small.csv, cache: null}}
tasks: {{a: regression, b: binary}}
encoder: {{name: mlp, widths: [8]}}
train:
  epochs: 3
  batch_size: 64
  optimizer: {{lr: {{search: {{low: 1e-4, high: 1e-1, log: true, default: 1e-3}}}}}}
compare: {{boosting: false, single: false}}
tune: {{sampler: random, trials: {TRIALS}, seeds: 1, single: false, lease: 5s}}
"""


def written(folder: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 3))
    hidden = x.sum(axis=1)
    columns = {f"x{place}": x[:, place] for place in range(3)}
    targets = {"a": hidden + draw.normal(size=200), "b": (hidden + draw.normal(size=200) > 0).astype(int)}
    pl.DataFrame({**columns, **targets}).write_csv(folder / "small.csv")
    (folder / "killed.yaml").write_text(CONFIG, encoding="utf-8")


def begun(folder: Path, place: str, *words: str) -> subprocess.Popen[bytes]:
    """The command, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cotrain", "tune", "killed.yaml", "--storage", place, *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(place: str) -> int:
    with closing(connect(place)) as database:
        try:
            (rows,) = database.batch(
                ("SELECT count(*) FROM cotrain_trials WHERE study = ? AND state = 'complete'", ("killed",))
            )
        except StudyError:
            return 0  # nobody has made the tables yet
    return int(rows[0][0])


@pytest.mark.slow
def test_a_killed_tuning_goes_on_to_the_asked_trials(shared: str, tmp_path: Path) -> None:
    written(tmp_path)
    first = begun(tmp_path, shared, "--folder", "run", "--workers", "2")
    give_up = time.monotonic() + 300
    while finished(shared) < 3:
        assert time.monotonic() < give_up
        assert first.poll() is None
        time.sleep(0.02)
    first.kill()
    first.communicate()
    done = finished(shared)
    assert done < TRIALS
    again = begun(tmp_path, shared, "--folder", "run", "--workers", "2", "--resume")
    other = begun(tmp_path, shared, "--folder", "elsewhere", "--work")  # a second machine, as far as anyone can tell
    for process in (again, other):
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said.decode()
    document = json.loads((tmp_path / "run" / "tune.json").read_text(encoding="utf-8"))
    trials = [Trial.from_json(one) for one in document["trials"]]
    assert [trial.number for trial in trials] == list(range(TRIALS))
    assert {trial.state for trial in trials} == {"complete"}
    assert len({trial.seed for trial in trials}) == TRIALS
    assert 0 < sum(trial.attempt > 1 for trial in trials) <= 2  # those alone that the two workers were at
    assert trials[0].parameters == {"train.optimizer.lr": 1e-3}
    assert document["picked"] == max(trials, key=lambda trial: trial.values["gain"]).number
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "elsewhere" / "tune.json").exists()
