"""A training killed at any moment goes on as if it had never stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from cotrain.core.errors import RunError
from cotrain.core.state import flatten
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.checkpoint import Checkpoints, read_state, same_settings, write_state
from cotrain.training.loop import Trainer

Fresh = Callable[..., Model]
Rows = Callable[..., Any]
DRIVER = Path(__file__).with_name("kill_driver.py")
SOURCE = Path(__file__).resolve().parents[2] / "src"


def bits(state: Mapping[str, Any]) -> tuple[dict[str, list[int]], Any]:
    tensors, tree = flatten(state)
    return {name: tensor.contiguous().view(-1).view(torch.uint8).tolist() for name, tensor in tensors.items()}, tree


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seed"), [("time", 1), ("write", 2)])
def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path: Path, mode: str, seed: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path / "run"), mode, str(seed)],
        capture_output=True, text=True, timeout=300, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 5
    whole, pieces = read_state(tmp_path / "whole-run.safetensors"), read_state(tmp_path / "pieces-run.safetensors")
    assert bits(whole) == bits(pieces)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(list((tmp_path / "run" / "checkpoint").glob("step-*.safetensors"))) <= 2
    assert not list((tmp_path / "run" / "checkpoint").glob(".*.tmp"))


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tied = torch.randn(3, 2)
    state = {
        "a": {"x": tied, "same": tied, "view": tied[:, 0]},
        "n": [1, 2.5, None, "w"],
        "by number": {0: torch.tensor(3)},
    }
    write_state(tmp_path / "s.safetensors", state)
    assert bits(read_state(tmp_path / "s.safetensors")) == bits(state)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    keeper = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        keeper.save(step, {"step": step}, None, None)
    assert [path.name for path in keeper.found()] == ["step-000000000003.safetensors", "step-000000000002.safetensors"]
    whole = keeper.found()[0].read_bytes()
    keeper.found()[0].write_bytes(whole[: len(whole) // 2])
    found = keeper.latest()
    assert found is not None
    assert found[0]["step"] == 2
    for path in keeper.found():
        path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="cannot be read"):
        keeper.latest()


def test_best_weights_stay_as_long_as_a_kept_checkpoint_refers_to_them(tmp_path: Path) -> None:
    keeper = Checkpoints(tmp_path)
    for step, best in ((1, 1), (2, 1), (3, 3), (4, 3), (5, 3)):
        keeper.save(step, {}, {"w": torch.tensor(float(best))}, best)
        names = sorted(path.name for path in (tmp_path / "checkpoint").glob("best-*"))
        assert names == [f"best-{kept:012d}.safetensors" for kept in sorted({best} | ({1} if step == 3 else set()))]
    found = keeper.latest()
    assert found is not None
    assert found[1] is not None
    assert float(found[1]["w"]) == 3


def test_a_folder_with_a_training_is_not_written_over(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    Trainer(fresh(), train={"epochs": 1}, folder=tmp_path).fit(rows(64))
    with pytest.raises(RunError, match="holds a training already"):
        Trainer(fresh(), train={"epochs": 1}, folder=tmp_path).fit(rows(64))


def test_resume_refuses_other_settings_and_other_networks(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    Trainer(fresh(), train={"epochs": 1}, folder=tmp_path).fit(rows(64))
    with pytest.raises(RunError, match=r"clip was 1\.0, is 2\.0"):
        Trainer(fresh(), train={"epochs": 1, "clip": 2.0}, folder=tmp_path).fit(rows(64), resume=True)
    with pytest.raises(RunError, match="seed was 0, is 1"):
        Trainer(fresh(), train={"epochs": 1}, folder=tmp_path, seed=1).fit(rows(64), resume=True)
    other = Model(encoder=MLP(widths=[9]), tasks=[Binary("yes")])
    with pytest.raises(RunError, match="another network"):
        Trainer(other, train={"epochs": 1}, folder=tmp_path).fit(
            (rows(64)[0], {"yes": rows(64)[1]["yes"]}), resume=True
        )
    same_settings({"a": (1, 2), "epochs": 3}, {"a": [1, 2], "epochs": 4}, ("epochs",))


def test_a_finished_training_resumes_to_what_it_was_and_more_epochs_go_on(
    tmp_path: Path, fresh: Fresh, rows: Rows
) -> None:
    settings = {"epochs": 2, "schedule": "constant", "early_stopping": None}
    first = fresh()
    Trainer(first, train=settings, folder=tmp_path).fit(rows(64), rows(32, 1))
    again = fresh(seed=3)
    history = Trainer(again, train=settings, folder=tmp_path).fit(rows(64), rows(32, 1), resume=True)
    assert bits(again.state_dict()) == bits(first.state_dict())
    assert [one["epoch"] for one in history.records] == [1, 2]
    longer, straight = fresh(), fresh()
    Trainer(longer, train={**settings, "epochs": 4}, folder=tmp_path).fit(rows(64), rows(32, 1), resume=True)
    Trainer(straight, train={**settings, "epochs": 4}).fit(rows(64), rows(32, 1))
    assert bits(longer.state_dict()) == bits(straight.state_dict())


def test_more_time_and_more_patience_let_an_ended_training_go_on(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    short = {"epochs": 3, "batch_size": 16, "time_limit": 1e-9, "early_stopping": None}
    first = Trainer(fresh(), train=short, folder=tmp_path / "time").fit(rows(64), resume=True)
    assert (first.stopped, len(first.records)) == ("time limit", 1)
    again = Trainer(fresh(), train={**short, "time_limit": None}, folder=tmp_path / "time").fit(rows(64), resume=True)
    assert (again.stopped, len(again.records)) == ("epochs", 3)
    hasty = {"epochs": 4, "batch_size": 16, "early_stopping": {"patience": 1, "min_delta": 1e9}}
    first = Trainer(fresh(), train=hasty, folder=tmp_path / "stop").fit(rows(64), rows(32, 1))
    assert (first.stopped, len(first.records)) == ("early stopping", 2)
    calm = {**hasty, "early_stopping": {"patience": 9}}
    again = Trainer(fresh(), train=calm, folder=tmp_path / "stop").fit(rows(64), rows(32, 1), resume=True)
    assert (again.stopped, len(again.records)) == ("epochs", 4)


def test_killed_between_the_last_step_of_an_epoch_and_its_line_it_writes_the_same_line(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trainer(folder: str) -> Trainer:
        torch.manual_seed(0)
        tasks = [Binary("yes"), Regression("number")]
        model = Model(encoder=MLP(widths=[8]), sharing=MMoE(experts=2), tasks=tasks)
        checkpoint = {"every_steps": 1, "each_epoch": False}
        settings = {"epochs": 1, "batch_size": 16, "early_stopping": None, "checkpoint": checkpoint}
        return Trainer(model, train=settings, folder=tmp_path / folder)

    def killed(session: Any) -> None:
        raise SystemError("killed")

    whole = trainer("whole").fit(rows(64), rows(32, 1)).records[0]
    with monkeypatch.context() as patch:
        patch.setattr("cotrain.training.loop.end_epoch", killed)
        with pytest.raises(SystemError):
            trainer("pieces").fit(rows(64), rows(32, 1))
    pieces = trainer("pieces").fit(rows(64), rows(32, 1), resume=True).records[0]
    assert {**pieces, "seconds": 0} == {**whole, "seconds": 0}


def test_resume_without_a_checkpoint_begins(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    history = Trainer(fresh(), train={"epochs": 1}, folder=tmp_path).fit(rows(64), resume=True)
    assert len(history.records) == 1
