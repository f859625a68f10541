"""Looks at the tasks' gradients: right numbers, nothing disturbed, methods that bring their own Gramian left alone."""

from __future__ import annotations

import torch

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.protocol import Balancer
from cotrain.balance.sum import Sum
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.regression import Regression
from cotrain.training.diagnose import Diagnosis
from cotrain.training.feed import Feed
from cotrain.training.history import History
from cotrain.training.loop import Trainer


def rows() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return x, {"up": x[:, 0], "down": -x[:, 0], "side": x[:, 1]}


def history(diagnose: int | str | None, balancer: Balancer | None = None) -> tuple[History, Model]:
    model = Model(encoder=MLP(widths=[8], dropout=0.2), tasks=[Regression(name) for name in ("up", "down", "side")])
    train = {"epochs": 3, "batch_size": 16, "early_stopping": None, "diagnose": diagnose}
    trainer = Trainer(model, balancer=balancer, train=train, seed=1)
    return trainer.fit(rows()), model


def test_looking_changes_no_weight() -> None:
    _, quiet = history(None)
    _, looked = history(1)
    for one, other in zip(quiet.parameters(), looked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_every_pair_is_in_the_log_once_and_affinity_in_both_directions() -> None:
    found, _ = history(1)
    record = found.records[-1]
    assert set(record["cosines"]) == {"up|down", "up|side", "down|side"}
    assert set(record["affinity"]) == {"up>down", "down>up", "up>side", "side>up", "down>side", "side>down"}
    assert all(-1 <= value <= 1 for value in record["cosines"].values())
    assert history(None)[0].records[-1]["cosines"] is None


def test_affinity_is_the_share_of_the_loss_a_small_step_takes_away() -> None:
    model = Model(encoder=MLP(widths=[8], dropout=0.0), tasks=[Regression("up"), Regression("side")])
    x, y = rows()
    step = Feed((x, {name: y[name] for name in ("up", "side")}), tasks=("up", "side"), size=64, shuffle=False).peek(1)[
        0
    ]
    model.meet(step[0])
    losses = model.losses(step)
    lr = 1e-4
    look = Diagnosis(Engine(model.parts, Sum()), 1, 2).look(losses)
    assert look is not None
    affinity = lr * look.gramian / look.losses
    before = losses["side"].item()
    shared = model.shared_parameters()
    gradients = torch.autograd.grad(losses["up"], shared)
    with torch.no_grad():
        for parameter, gradient in zip(shared, gradients, strict=True):
            parameter -= lr * gradient
    taken = 1 - model.losses(step)["side"].item() / before
    assert abs(taken - float(affinity[0, 1])) < 0.05 * abs(float(affinity[0, 1])) + 1e-6


def test_methods_that_need_the_gramian_bring_it_with_every_step() -> None:
    assert Diagnosis(Engine(balancer=NashMTL()), "auto", 3).every is None
    assert Diagnosis(Engine(balancer=Sum()), "auto", 1).every is None
    assert Diagnosis(Engine(balancer=Sum()), "auto", 4).every == 100
    found, _ = history("auto", balancer=NashMTL())
    assert set(found.records[0]["cosines"]) == {"up|down", "up|side", "down|side"}
