"""What is not finite is left out, skips the step or, under a scaler, stays visible; and nothing of it is silent."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty

TASKS = ("one", "two", "three")


@pytest.mark.parametrize("method", [Sum, Uncertainty, NashMTL])
def test_a_task_whose_loss_is_not_finite_is_left_out(net, method: Callable) -> None:
    losses = net.losses()
    losses["two"] = losses["two"] * float("nan")
    report = Engine(None, method()).backward(losses)
    assert report.skipped == {"two": "its loss is not finite"}
    assert set(report.weights) == {"one", "three"}
    assert all(bool(g.isfinite().all()) for g in net.gradients())
    assert net.heads["two"].weight.grad is None
    assert not report.step_skipped


@pytest.mark.parametrize("mode", ["exact", "features"])
def test_a_task_whose_gradient_is_not_finite_is_left_out(net, mode: str, inverse_norms) -> None:
    losses = net.losses()
    losses["two"] = (losses["two"] - losses["two"].detach()).sqrt()
    rows = [torch.autograd.grad(losses[t], net.trunk[0].weight, retain_graph=True)[0] for t in ("one", "three")]
    report = Engine(None, inverse_norms(), mode=mode).backward(losses)
    assert report.skipped == {"two": "its gradient is not finite"}
    weights = report.weights
    torch.testing.assert_close(net.trunk[0].weight.grad, weights["one"] * rows[0] + weights["three"] * rows[1])
    assert net.heads["two"].weight.grad is None


def test_nothing_is_touched_when_nothing_is_finite(net, inverse_norms) -> None:
    engine = Engine(None, inverse_norms())
    engine.backward(net.losses())
    before = net.gradients()
    for losses in (
        {name: loss * float("inf") for name, loss in net.losses().items()},
        {name: (loss - loss.detach()).sqrt() for name, loss in net.losses().items()},
    ):
        report = engine.backward(losses)
        assert report.step_skipped
        assert set(report.skipped) == set(TASKS)
    report = engine.backward(net.losses(), penalty=net.trunk[0].weight.sum() * float("nan"))
    assert report.step_skipped
    assert report.skipped == {"penalty": "it is not finite"}
    assert (engine.skipped_steps, engine.steps, report.skipped_steps) == (3, 4, 3)
    assert all(torch.equal(a, b) for a, b in zip(net.gradients(), before, strict=True))


def test_no_state_of_the_optimiser_moves_on_a_skipped_step(net, inverse_norms) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    engine = Engine(None, inverse_norms())
    engine.backward(net.losses())
    optimizer.step()
    before = copy.deepcopy((net.state_dict(), optimizer.state_dict()["state"]))
    optimizer.zero_grad()
    engine.backward({name: loss * float("nan") for name, loss in net.losses().items()})
    optimizer.step()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[0][name])
    for place, state in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, before[1][place][key]) for key, value in state.items())


@pytest.mark.parametrize("method", [Sum, NashMTL])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_under_a_scaler_what_is_not_finite_stays_visible(net, method: Callable, where: str) -> None:
    losses = {name: loss * 1024 for name, loss in net.losses().items()}
    spoilt = losses["two"] * float("nan") if where == "loss" else (losses["two"] - losses["two"].detach()).sqrt()
    report = Engine(None, method()).backward({**losses, "two": spoilt}, loss_scale=1024.0)
    assert not bool(net.trunk[0].weight.grad.isfinite().all())
    assert report.step_skipped == (method is NashMTL or where == "loss")


def test_a_scaled_step_is_the_unscaled_one_times_the_scale(net, agree) -> None:
    losses = net.losses()
    scaled = {name: loss * 256 for name, loss in losses.items()}
    plain = Engine(None, NashMTL()).probe(losses)
    report = agree(scaled, list(net.parameters()), loss_scale=256.0)
    torch.testing.assert_close(report.gramian, plain.gramian)
    torch.testing.assert_close(report.losses, plain.losses)


def test_weights_that_are_not_finite_skip_the_step(net, inverse_norms) -> None:
    class Broken(inverse_norms):
        def weigh(self, seen):
            return torch.full_like(seen.losses, float("nan"))

    report = Engine(None, Broken()).backward(net.losses())
    assert report.step_skipped
    assert set(report.skipped.values()) == {"the method's weights are not finite"}
    assert all(p.grad is None for p in net.parameters())
