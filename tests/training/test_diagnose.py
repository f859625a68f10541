"""Looks at the tasks' gradients: right numbers, nothing disturbed, methods that bring their own Gramian left alone."""

from __future__ import annotations

import pytest
import torch

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.protocol import Balancer
from cotrain.balance.report import Measurement
from cotrain.balance.sum import Sum
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.tasks.regression import Regression
from cotrain.training.diagnose import Diagnosis, Look
from cotrain.training.feed import Feed
from cotrain.training.history import History
from cotrain.training.lookahead import lookahead
from cotrain.training.loop import Trainer
from cotrain.training.tally import Tally


def rows() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    return x, {"up": x[:, 0], "down": -x[:, 0], "side": x[:, 1]}


def network(*names: str, dropout: float = 0.0, norm: str = "none") -> Model:
    return Model(encoder=MLP(widths=[8], dropout=dropout, norm=norm), tasks=[Regression(name) for name in names])  # type: ignore[arg-type]


def history(
    diagnose: int | str | None, balancer: Balancer | None = None, look: Look | None = None
) -> tuple[History, Model]:
    model = network("up", "down", "side", dropout=0.2, norm="batch")
    train = {"epochs": 3, "batch_size": 16, "early_stopping": None, "diagnose": diagnose}
    trainer = Trainer(model, balancer=balancer, train=train, seed=1, look=look)
    return trainer.fit(rows()), model


@pytest.mark.parametrize("look", [None, *(Look(at, 2) for at in ("features", "parameters", "lookahead"))])
def test_looking_changes_no_weight_and_no_running_mean(look: Look | None) -> None:
    _, quiet = history(None)
    found, looked = history(1, look=look)
    assert found.records[0]["looks"] == dict.fromkeys(("up|down", "up|side", "down|side"), 2 if look else 4)
    for own, other in ((quiet.parameters(), looked.parameters()), (quiet.buffers(), looked.buffers())):
        assert all(map(torch.equal, own, other))


def test_a_look_of_its_own_is_not_mixed_with_what_the_method_sees() -> None:
    found, _ = history(1, balancer=NashMTL(), look=Look("features", 2))
    assert set(found.records[0]["looks"].values()) == {2}


def test_looks_are_rare_until_a_training_has_settled() -> None:
    found, _ = history(None, look=Look("features", 1, settled=8))
    assert [record["looks"]["up|down"] for record in found.records] == [1, 1, 4]  # steps 0, 5, then 8 to 11


def test_the_spread_is_that_of_the_cosines_and_shares_are_of_what_a_task_does_for_itself() -> None:
    tally = Tally()
    for gramian in ([[1.0, 0.5], [0.5, 1.0]], [[4.0, -1.0], [-1.0, 1.0]]):
        tally.add_gramian(Measurement(("a", "b"), torch.ones(2).double(), torch.tensor(gramian).double()), 0.1)
    record = tally.record()
    assert record["spread"]["a|b"] == pytest.approx(0.5)
    assert record["shares"] == pytest.approx({"a>b": -0.25, "b>a": 0.125})


def test_looking_ahead_is_the_step_made_and_taken_back() -> None:
    model = network("up", "side", dropout=0.3)
    x, y = rows()
    step = Feed((x, {name: y[name] for name in ("up", "side")}), tasks=("up", "side"), size=64, shuffle=False).peek(1)[
        0
    ]
    model.meet(step[0])

    def again() -> dict[str, torch.Tensor]:
        torch.manual_seed(3)
        return model.losses(step)

    losses, lr = again(), 0.3
    before = [one.clone() for one in (*model.parameters(), *model.buffers())]
    found = lookahead(model.shared_parameters(), losses, again, lr)
    assert all(map(torch.equal, before, (*model.parameters(), *model.buffers())))
    taken = lr * found.gramian / found.losses
    gradients = torch.autograd.grad(losses["up"], model.shared_parameters())
    with torch.no_grad():
        for parameter, gradient in zip(model.shared_parameters(), gradients, strict=True):
            parameter -= lr * gradient
        after = again()
    for place, name in enumerate(("up", "side")):
        assert float(taken[0, place]) == pytest.approx(1 - after[name].item() / losses[name].item(), abs=1e-6)


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
    look = Diagnosis(Engine(model.parts, Sum()), 1, model).look(losses, lambda: losses, lr)
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
    assert Diagnosis(Engine(balancer=NashMTL()), "auto", network("a", "b", "c")).every is None
    assert Diagnosis(Engine(balancer=Sum()), "auto", network("a")).every is None
    assert Diagnosis(Engine(balancer=Sum()), "auto", network("a", "b", "c", "d")).every == 100
    found, _ = history("auto", balancer=NashMTL())
    assert set(found.records[0]["cosines"]) == {"up|down", "up|side", "down|side"}
