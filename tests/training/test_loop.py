"""The loop as a whole: what it logs, when it stops, what it keeps, how it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.model.compose import Model
from cotrain.training.interrupt import Interrupted
from cotrain.training.loop import Trainer
from cotrain.training.watch import Plan, Silent

Fresh = Callable[..., Model]
Rows = Callable[..., Any]
SOURCE = Path(__file__).resolve().parents[2] / "src"


class Witness(Silent):
    """Writes down what it is told, and can interrupt."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.told: list[Any] = []
        self.steps, self.interrupt_at = 0, interrupt_at

    def started(self, plan: Plan) -> None:
        self.told.append(plan)

    def stepped(self, epoch: int, step: int, losses: Callable[[], Mapping[str, float]]) -> None:
        self.steps += 1
        assert set(losses()) == {"yes", "number"}
        if self.steps == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        self.told.append(record["epoch"])

    def ended(self, why: str) -> None:
        self.told.append(why)


def state_of(model: Model) -> list[float]:
    return [value for tensor in model.parameters() for value in tensor.detach().reshape(-1).tolist()]


def test_learning_beats_the_constant_on_every_task(fresh: Fresh, rows: Rows) -> None:
    train = {"epochs": 10, "batch_size": 16, "optimizer": {"lr": 0.02}}
    history = Trainer(fresh(), train=train).fit(rows(400), rows(100, 1))
    last = history.records[-1]
    assert last["valid"]["yes"]["auc"] > 0.95
    assert last["valid"]["number"]["rmse"] < 0.3 * history.constant["number"]["rmse"]
    assert history.constant["yes"]["auc"] == 0.5
    assert 0.7 < last["score"] <= 1
    assert history.best_score == max(one["score"] for one in history.records)


def test_the_log_holds_one_line_an_epoch_with_everything(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    witness = Witness()
    trainer = Trainer(
        fresh(), balancer=NashMTL(), train={"epochs": 3, "batch_size": 16}, folder=tmp_path, watcher=witness
    )
    history = trainer.fit(rows(64), rows(32, 1))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(one["epoch"], one["step"]) for one in lines] == [(1, 4), (2, 8), (3, 12)]
    keys = "epoch step seconds lr losses valid valid_loss score weights cosines spread looks norms affinity shares skipped left_out usage"
    assert set(lines[0]) == set(keys.split())
    assert set(lines[0]["cosines"]) == {"yes|number"}
    assert -1 <= lines[0]["cosines"]["yes|number"] <= 1
    assert set(lines[0]["norms"]) == set(lines[0]["weights"]) == set(lines[0]["losses"]) == {"yes", "number"}
    assert lines[0]["seconds"] < lines[1]["seconds"] < lines[2]["seconds"]
    assert witness.told == [Plan(("yes", "number"), 3, 4, 1, 0, "cpu"), 1, 2, 3, "epochs"]
    assert history.rows == 3 * 64
    assert history.stopped == "epochs"


def test_the_logged_loss_is_that_of_the_constant_at_first_and_falls(fresh: Fresh, rows: Rows) -> None:
    model = fresh()
    for parameter in model.heads.parameters():
        torch.nn.init.zeros_(
            parameter
        )  # a network that answers with a constant, nearly the best one on standardised targets
    x, y = rows(1000)
    y["number"] = (y["number"] - y["number"].nanmean()) / y["number"][~y["number"].isnan()].std()
    train = {"epochs": 1, "batch_size": 1000, "optimizer": {"lr": 1e-9}}
    record = Trainer(model, train=train).fit((x, y)).records[0]
    assert record["losses"]["number"] == pytest.approx(1, rel=1e-2)
    assert record["losses"]["yes"] == pytest.approx(1, rel=1e-2)


def test_losses_are_not_scaled_when_told_so(fresh: Fresh, rows: Rows) -> None:
    model = fresh()
    Trainer(model, train={"epochs": 1, "loss_scale": "none"}).fit(rows(64))
    assert model.scales == {"yes": 1.0, "number": 1.0}
    Trainer(model, train={"epochs": 1}).fit(rows(64))
    assert model.scales["yes"] == pytest.approx(0.69, abs=0.02)
    assert model.scales["number"] > 2


def test_a_task_without_a_constant_is_scaled_by_its_first_batches(fresh: Fresh, rows: Rows) -> None:
    from cotrain.encoders.mlp import MLP
    from cotrain.losses.squared_error import squared_error
    from cotrain.tasks.regression import Regression

    def own(output: Any, target: Any, weight: Any) -> Any:
        total, count = squared_error(output, target, weight)
        return 7 * total, count

    model = Model(encoder=MLP(widths=[8], dropout=0.0), tasks=[Regression("number", loss=own)])
    x, y = rows(64)
    data = (x, {"number": y["number"]})
    model.meet(Batch({"x": Field.dense(x)}))
    scaled = Trainer(model, train={"epochs": 2, "batch_size": 64, "optimizer": {"lr": 1e-9}}).fit(data, data)
    assert scaled.records[0]["losses"]["number"] == pytest.approx(1, rel=1e-4)
    assert scaled.constant == {}
    assert scaled.records[0]["score"] == pytest.approx(0, abs=1e-4)  # nothing to compare with: 1 - loss


def test_training_stops_early_and_keeps_the_best_weights(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(48)
    y["yes"] = y["yes"][torch.randperm(48)]  # nothing to learn: validation gets worse soon
    y["number"] = y["number"][torch.randperm(48)]
    train = {
        "epochs": 200,
        "batch_size": 8,
        "optimizer": {"lr": 0.05},
        "early_stopping": {"patience": 4},
        "schedule": "constant",
    }
    model = fresh()
    history = Trainer(model, train=train).fit((x, y), rows(64, 1))
    scores = [one["score"] for one in history.records]
    assert history.stopped == "early stopping"
    assert history.best_epoch is not None
    assert len(scores) == history.best_epoch + 4 < 200
    assert max(scores) == scores[history.best_epoch - 1] == history.best_score
    again = fresh()
    Trainer(again, train={**train, "epochs": history.best_epoch, "keep": "last"}).fit((x, y), rows(64, 1))
    assert state_of(again) == state_of(model)


def test_one_task_or_the_loss_can_be_watched_instead(fresh: Fresh, rows: Rows) -> None:
    for monitor in ("number", "loss"):
        history = Trainer(fresh(), train={"epochs": 2, "monitor": monitor}).fit(rows(64), rows(64, 1))
        last, constant = history.records[-1], history.constant
        if monitor == "number":
            rmse = last["valid"]["number"]["rmse"], constant["number"]["rmse"]
            assert last["score"] == pytest.approx((rmse[1] - rmse[0]) / rmse[1])
        else:
            assert last["score"] == -sum(last["valid_loss"].values())
    with pytest.raises(ConfigError, match="unknown monitor 'numbr'; did you mean 'number'"):
        Trainer(fresh(), train={"monitor": "numbr"})


def test_without_validation_rows_the_last_weights_stay_and_it_is_said(fresh: Fresh, rows: Rows) -> None:
    history = Trainer(fresh(), train={"epochs": 2}).fit(rows(64))
    assert history.best_epoch is None
    assert "no validation rows" in history.notes[0]
    assert history.records[0]["valid"] is None


def test_the_same_seed_gives_the_same_network_and_another_another(fresh: Fresh, rows: Rows) -> None:
    from cotrain.encoders.mlp import MLP
    from cotrain.tasks.binary import Binary
    from cotrain.tasks.regression import Regression

    found = []
    for seed in (1, 1, 2):
        torch.rand(7)  # whatever was drawn before has no part in it
        model = Model(encoder=MLP(widths=[8]), tasks=[Binary("yes"), Regression("number")])
        before = torch.get_rng_state()
        Trainer(model, train={"epochs": 2, "batch_size": 16}, seed=seed).fit(rows(64))
        assert torch.equal(torch.get_rng_state(), before)
        found.append(state_of(model))
    assert found[0] == found[1] != found[2]


def test_a_watcher_or_a_validation_changes_no_weight(fresh: Fresh, rows: Rows) -> None:
    train = {"epochs": 3, "batch_size": 16, "keep": "last"}
    found = []
    for watcher, valid in ((None, None), (Witness(), rows(32, 1))):
        model = fresh(dropout=0.3)
        Trainer(model, train=train, watcher=watcher).fit(rows(64), valid)
        found.append(state_of(model))
    assert found[0] == found[1]


def test_interrupted_it_saves_says_where_and_goes_on_to_the_same_end(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    train = {"epochs": 3, "batch_size": 16}
    straight = fresh(dropout=0.3)
    Trainer(straight, train=train, balancer=Uncertainty()).fit(rows(64), rows(32, 1))
    witness, before = Witness(interrupt_at=6), signal.getsignal(signal.SIGINT)
    trainer = Trainer(fresh(dropout=0.3), train=train, balancer=Uncertainty(), folder=tmp_path, watcher=witness)
    with pytest.raises(Interrupted, match=f"epoch 2, after 6 steps; saved in {tmp_path}; resume") as caught:
        trainer.fit(rows(64), rows(32, 1))
    assert isinstance(caught.value, KeyboardInterrupt)
    assert (caught.value.folder, caught.value.epoch, caught.value.step) == (str(tmp_path), 2, 6)
    assert witness.told[-1] == "interrupted"
    assert signal.getsignal(signal.SIGINT) == before
    resumed, witness = fresh(dropout=0.3), Witness()
    trainer = Trainer(resumed, train=train, balancer=Uncertainty(), folder=tmp_path, watcher=witness)
    history = trainer.fit(rows(64), rows(32, 1), resume=True)
    assert witness.told[0] == Plan(("yes", "number"), 3, 4, 2, 2, "cpu")
    assert witness.steps == 6
    assert [one["epoch"] for one in history.records] == [1, 2, 3]
    assert state_of(resumed) == state_of(straight)


def test_time_runs_out(fresh: Fresh, rows: Rows) -> None:
    history = Trainer(
        fresh(), train={"epochs": 10_000, "batch_size": 16, "time_limit": 0.5, "early_stopping": None}
    ).fit(rows(256), rows(32, 1))
    assert history.stopped == "time limit"
    assert 0.3 <= history.seconds < 5  # a little is kept free for the final scores
    assert history.records[-1]["valid"] is not None


def test_weights_and_cosines_are_of_the_steps_that_counted(fresh: Fresh, rows: Rows) -> None:
    engine = Engine(balancer=NashMTL(), length="paper")
    x, y = rows(64)
    y["yes"] = torch.full((64,), float("nan"))
    record = Trainer(fresh(), engine=engine, train={"epochs": 1, "batch_size": 32}).fit((x, y)).records[0]
    assert set(record["losses"]) == set(record["weights"]) == {"number"}
    assert record["cosines"] is None


def test_balancer_and_engine_together_are_refused(fresh: Fresh) -> None:
    with pytest.raises(ConfigError, match="balancer= or engine=, got both"):
        Trainer(fresh(), balancer=NashMTL(), engine=Engine(balancer=NashMTL()))


@pytest.mark.parametrize("name", ["constant", "one_cycle", "plateau"])
def test_every_schedule_trains(fresh: Fresh, rows: Rows, name: str) -> None:
    schedule = {"name": name, "warmup": 0.2} | ({"patience": 0, "factor": 0.1} if name == "plateau" else {})
    train = {"epochs": 4, "batch_size": 16, "schedule": schedule}
    rates = [one["lr"] for one in Trainer(fresh(), train=train).fit(rows(64), rows(32, 1)).records]
    assert all(0 < rate <= 2e-3 for rate in rates)
    if name == "one_cycle":
        assert max(rates) > 10 * rates[-1]


def test_nothing_is_printed(tmp_path: Path) -> None:
    code = """
import warnings, torch
warnings.simplefilter("error")
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.training.loop import Trainer
for precision in ("32", "bf16", "64"):
    model = Model(encoder=MLP(widths=[4]), tasks=[Binary("yes")])
    x = torch.randn(16, 2)
    Trainer(model, train={"epochs": 1, "precision": precision, "device": "cpu"}).fit((x, {"yes": (x[:, 0] > 0).float()}))
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
