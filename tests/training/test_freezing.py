"""Parts of a network that keep their values while the rest is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cotrain.balance.gallery import BALANCERS
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.loop import Trainer
from cotrain.training.lr_finder import find_lr
from cotrain.training.still import still_tasks

Fresh = Callable[..., Model]
Rows = Callable[..., Any]
QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 16, "optimizer": {"lr": 0.05}, "early_stopping": None}


def moved(before: dict[str, Any], model: Model) -> set[str]:
    """The first two words of the names of all tensors that changed."""
    after = {name: one for name, one in model.state_dict().items() if isinstance(one, torch.Tensor)}
    return {".".join(name.split(".")[:2]) for name, one in after.items() if not torch.equal(one, before[name])}


def kept(model: Model) -> dict[str, Any]:
    return {name: one.clone() for name, one in model.state_dict().items() if isinstance(one, torch.Tensor)}


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        (["trunk"], {"heads.of_yes", "heads.of_number"}),
        (["encoder", "sharing", "heads.yes"], {"heads.of_number"}),
        (["heads"], {"parts.0"}),
        (["heads.number"], {"parts.0", "heads.of_yes"}),
    ],
)
def test_what_is_frozen_keeps_every_bit_and_the_rest_moves(
    fresh: Fresh, rows: Rows, freeze: list[str], left: set[str]
) -> None:
    model = fresh(dropout=0.2)
    before = kept(model)
    Trainer(model, train={**QUICK, "freeze": freeze, "averaging": "ema"}).fit(rows(64), rows(32, seed=1))
    assert moved(before, model) == left


@pytest.mark.parametrize("method", ["sum", "uncertainty", "nash_mtl", "upgrad", "pcgrad", "graddrop", "imtl"])
def test_every_kind_of_balancing_goes_on_with_what_is_left(fresh: Fresh, rows: Rows, method: str) -> None:
    model = fresh()
    before = kept(model)
    trainer = Trainer(model, balancer=BALANCERS[method](), train={**QUICK, "freeze": ["trunk", "heads.yes"]})
    history = trainer.fit(rows(64), rows(32, seed=1))
    assert moved(before, model) == {"heads.of_number"}
    assert set(history.records[-1]["losses"]) == {"number"}, "a task that stands still has nothing to say to a step"
    assert any("'yes' is not trained" in note for note in history.notes)


def test_norms_and_dropout_of_frozen_parts_rest_while_the_others_work() -> None:
    trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1))
    model = Model(trunk=trunk, tasks=[Regression("y"), Regression("z")], heads={"y": head})
    batch = Batch(
        {"x": Field.dense(torch.randn(8, 3))},
        {"y": Field.dense(torch.randn(8, 1)), "z": Field.dense(torch.zeros(8, 1))},
    )
    model.meet(batch).freeze("trunk").train()
    assert [layer.training for layer in trunk] == [False, False, False]
    assert head.training
    assert head[0].training
    figures = trunk[1].running_mean.clone()
    model.losses([batch])
    assert torch.equal(trunk[1].running_mean, figures)
    model.freeze()
    assert all(layer.training for layer in trunk)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_running_figures_of_a_frozen_trunk_outlive_averaging(rows: Rows) -> None:
    trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
    model = Model(trunk=trunk, tasks=[Binary("yes"), Regression("number")])
    trunk[1].running_mean.fill_(0.3)
    train = {**QUICK, "freeze": ["trunk"], "averaging": {"name": "swa", "start": 0.0}}
    Trainer(model, train=train).fit(rows(64), rows(32, seed=1))
    assert trunk[1].running_mean.tolist() == pytest.approx([0.3] * 4)


def test_what_a_new_task_brings_is_trained_inside_a_frozen_part() -> None:
    model = Model(encoder=MLP(widths=[4]), sharing=MMoE(experts=2), tasks=[Regression("old"), Regression("new")])
    batch = Batch(
        {"x": Field.dense(torch.randn(8, 3))}, {name: Field.dense(torch.randn(8, 1)) for name in ("old", "new")}
    )
    model.meet(batch).freeze("trunk", "heads.old", but=["parts.0.sharing.gates.of_new.weight"]).train()
    assert still_tasks(model, [batch]) == {"old"}
    gates = model.parts[0].sharing.gates  # type: ignore[union-attr]
    assert gates["of_new"].training
    assert not gates["of_old"].training


def test_a_resumed_training_with_frozen_parts_gives_the_same_bits(fresh: Fresh, rows: Rows, tmp_path: Path) -> None:
    train = {**QUICK, "epochs": 4, "freeze": ["trunk"], "schedule": "constant", "checkpoint": {"least_seconds": 0}}
    whole = fresh(dropout=0.3)
    Trainer(whole, train=train).fit(rows(64), rows(32, seed=1))
    first = fresh(dropout=0.3)
    Trainer(first, train={**train, "epochs": 2}, folder=tmp_path).fit(rows(64), rows(32, seed=1))
    again = fresh(dropout=0.3, seed=5)
    Trainer(again, train=train, folder=tmp_path).fit(rows(64), rows(32, seed=1), resume=True)
    assert moved(kept(whole), again) == set()


def test_a_learning_rate_is_found_for_what_is_left(fresh: Fresh, rows: Rows) -> None:
    model = fresh()
    model.freeze("trunk", "heads.yes")
    assert 0 < find_lr(model, rows(64), train={"batch_size": 16}).lr < 1


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (["sharin"], r"did you mean 'sharing'"),
        (["heads.numbr"], r"did you mean 'heads.number'"),
        (["trunk", "heads"], r"leaves nothing to train"),
        (["encoder", "sharing", "heads.yes", "heads.number"], r"leaves nothing to train"),
    ],
)
def test_names_of_frozen_parts_are_checked(fresh: Fresh, freeze: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Trainer(fresh(), train={"freeze": freeze})
