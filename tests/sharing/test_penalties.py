"""What a sharing adds to the objective is the paper's term, reaches the gradient through the trainer, and does what it is there for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.sum import Sum
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Shape, Signal
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.conformance import TASKS, Case
from cotrain.sharing.dselect_k import DSelectK, DSelectKSharing, smooth_step
from cotrain.sharing.feature_selection import FeatureSelection, l21
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation, covariance
from cotrain.tasks.regression import Regression


def drawn(settings: Any, std: float = 1.0) -> Any:
    sharing, signal = Case(settings, "vector").built()
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=std)
    sharing(signal)
    return sharing


def columns(sharing: Any) -> Tensor:
    """W [P, T]: all parameters of each task's own copies."""
    return torch.stack([torch.cat([one.flatten() for one in own.parameters()]) for own in sharing.own.values()], 1)


def test_soft_sharing_is_the_squared_distance_to_the_mean() -> None:
    sharing = drawn(SoftL2(strength=0.3))
    w = columns(sharing).detach().double()
    expected = 0.3 * sum(float(((w[:, k] - w.mean(1)) ** 2).sum()) for k in range(3))
    assert float(sharing.penalty().detach()) == pytest.approx(expected, rel=1e-5)
    sharing.penalty().backward()
    grads = torch.stack([torch.cat([p.grad.flatten() for p in own.parameters()]) for own in sharing.own.values()], 1)
    torch.testing.assert_close(grads, 0.6 * (w - w.mean(1, keepdim=True)).float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, 1e-3, 10.0), (100.0, 0.0, 1e-4)])
def test_soft_sharing_holds_trunks_together_as_strongly_as_it_is_told(strength: float, low: float, high: float) -> None:
    sharing, signal = Case(SoftL2(strength=strength), "vector").built()
    optimizer = torch.optim.SGD(sharing.parameters(), 1e-3)
    for _ in range(60):
        optimizer.zero_grad()
        found = sharing(signal)
        parts = [(found[task][-1].values - 5.0 * at).square().mean() for at, task in enumerate(TASKS)]
        penalty = sharing.penalty()
        torch.stack(parts if penalty is None else [*parts, penalty]).sum().backward()
        optimizer.step()
    assert low <= sharing.usage()["distance_between_trunks"] <= high


def test_the_norm_of_selection_is_a_sum_of_lengths_over_features() -> None:
    sharing = drawn(FeatureSelection(strength=0.2))
    weights = torch.stack(list(sharing.weights.values()))
    expected = 0.2 * sum(math.hypot(*weights[:, d].tolist()) for d in range(weights.shape[1]))
    assert float(sharing.penalty().detach()) == pytest.approx(expected, rel=1e-5)
    zero = torch.zeros(3, 2, requires_grad=True)
    l21(zero).backward()
    assert zero.grad is not None
    assert zero.grad.abs().max() == 0


def test_selection_drops_features_that_no_task_needs_and_keeps_the_others() -> None:
    """Two of six features carry both tasks; the norm with a decaying head leaves these."""
    torch.manual_seed(0)
    x = torch.randn(400, 6)
    y = torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]])
    sharing = FeatureSelection(strength=0.05).build(nn.ModuleList(), [Shape("vector", 6)], ["a", "b"])
    heads = nn.ModuleList([nn.Linear(6, 1), nn.Linear(6, 1)])
    optimizer = torch.optim.AdamW([{"params": sharing.parameters(), "weight_decay": 0.0}, {"params": heads.parameters(), "weight_decay": 0.1}], 0.01)  # fmt: skip
    for _ in range(600):
        optimizer.zero_grad()
        found = sharing(Signal(x))
        losses = [(head(found[t][-1].values)[:, 0] - y[k]).square().mean() for k, (t, head) in enumerate(zip("ab", heads, strict=True))]  # fmt: skip
        (torch.stack(losses).sum() + sharing.penalty()).backward()
        optimizer.step()
    lengths = torch.stack(list(sharing.weights.values())).norm(dim=0)
    assert lengths[:2].min() > 20 * lengths[2:].max()
    assert max(float(loss.detach()) for loss in losses) < 0.1


def test_relation_is_the_squared_nuclear_norm_and_its_gradient() -> None:
    sharing = drawn(TaskRelation(strength=0.5))
    w = columns(sharing).double().detach().requires_grad_()
    expected = 0.5 * torch.linalg.matrix_norm(w, "nuc") ** 2
    assert float(sharing.penalty().detach()) == pytest.approx(float(expected.detach()), rel=5e-3)  # the ridge
    expected.backward()
    sharing.penalty().backward()
    grads = torch.stack([torch.cat([p.grad.flatten() for p in own.parameters()]) for own in sharing.own.values()], 1)
    assert float((grads - w.grad).norm() / w.grad.norm()) < 5e-3  # type: ignore[operator, union-attr]


def test_no_other_covariance_of_trace_one_makes_the_penalty_smaller() -> None:
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(20, 4, dtype=torch.float64, generator=generator)
    w[:, 1] = w[:, 0] + 0.1 * w[:, 1]
    best = covariance(w.T @ w, 0.0)
    assert float(best.trace()) == pytest.approx(1.0)
    least = float((w @ torch.linalg.inv(best) * w).sum())
    for _ in range(50):
        other = best + 0.05 * (draw := torch.randn(4, 4, dtype=torch.float64, generator=generator)) @ draw.T
        other = other / other.trace()
        assert float((w @ torch.linalg.inv(other) * w).sum()) >= least - 1e-9


class WeightVector(nn.Module):
    """A stage that is one weight vector, so that a task is linear as in the paper."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 1, bias=False)

    def forward(self, signal: Signal) -> Signal:
        return signal.of(self.linear(signal.values))


def test_tasks_that_are_alike_opposite_and_unrelated_are_told_apart() -> None:
    torch.manual_seed(0)
    x = torch.randn(300, 8)
    one, other = torch.linalg.qr(torch.randn(8, 2)).Q.unbind(1)
    targets = {"a": x @ one, "b": x @ one, "minus": -(x @ one), "other": x @ other}
    settings = TaskRelation(strength=1e-2)
    sharing = settings.build(nn.ModuleList([WeightVector()]), [Shape("vector", 8), Shape("vector", 1)], list(targets))
    optimizer = torch.optim.Adam(sharing.parameters(), 0.03)
    for _ in range(300):
        optimizer.zero_grad()
        found = sharing(Signal(x))
        losses = [(found[task][-1].values[:, 0] - y).square().mean() for task, y in targets.items()]
        (torch.stack(losses).sum() + sharing.penalty()).backward()
        optimizer.step()
    usage = sharing.usage()
    assert usage["task_correlation/a~b"] > 0.98
    assert usage["task_correlation/a~minus"] < -0.98
    assert abs(usage["task_correlation/a~other"]) < 0.1


def test_smooth_step_is_flat_outside_and_rises_smoothly_inside() -> None:
    t = torch.linspace(-2, 2, 401, dtype=torch.float64, requires_grad=True)
    for gamma in (0.5, 1.0, 3.0):
        s = smooth_step(t, gamma)
        assert float(s.detach().min()) == 0
        assert float(s.detach().max()) == 1
        assert bool((s.detach().diff() >= 0).all())
        (slope,) = torch.autograd.grad(s.sum(), t)
        assert float(slope.max()) == pytest.approx(1.5 / gamma, rel=1e-3)
        assert float(slope[(t.abs() >= gamma / 2)].abs().max() if bool((t.abs() >= gamma / 2).any()) else 0) < 1e-9


def test_dselects_penalty_is_the_codes_entropy_and_what_no_expert_answers_to() -> None:
    sharing: DSelectKSharing = drawn(DSelectK(experts=5, k=2, entropy=0.3, per_row=True), std=0.05)
    expected = 0.0
    for task in TASKS:
        found = sharing.selector(task).selected
        assert found is not None
        r = found.detach()
        expected += float(-0.3 * (r * (r + 1e-6).log()).sum((1, 2)).mean() + (1 / r.sum(2) - 1).sum(1).mean())
    penalty = sharing.penalty()
    assert penalty is not None
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-4)


def test_dselect_ends_with_at_most_k_experts_a_task() -> None:
    sharing, signal = Case(DSelectK(experts=8, k=2, entropy=0.5), "vector").built()
    assert sharing.usage() == {}
    optimizer = torch.optim.Adam(sharing.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        found = sharing(signal)
        parts = [(found[task][-1].values - at).square().mean() for at, task in enumerate(TASKS)]
        (torch.stack(parts).sum() + sharing.penalty()).backward()
        optimizer.step()
    usage = sharing.usage()
    assert all(usage[f"experts_read/{task}"] <= 2 for task in TASKS)
    for task in TASKS:
        weights = sharing.selector(task).last
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-5)
        assert int((weights > 0).sum()) <= 2


PENALISED: Sequence[Any] = (SoftL2(strength=1.0), FeatureSelection(strength=1.0), TaskRelation(strength=1.0), DSelectK(experts=3, entropy=1.0))  # fmt: skip


@pytest.mark.parametrize("settings", PENALISED, ids=lambda one: one.name)
def test_the_penalty_reaches_the_gradient_of_a_training_step(settings: Any) -> None:
    batch = Batch({"x": Field.dense(torch.randn(16, 3))}, {name: Field.dense(torch.randn(16, 1)) for name in "ab"})
    model = Model(encoder=MLP(widths=[8], dropout=0.0), sharing=settings, tasks=[Regression("a"), Regression("b")])
    model.meet(batch)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    grads = []
    for with_it in (False, True):
        model.zero_grad()
        losses = model.losses([batch])
        Engine(balancer=Sum()).backward(losses, penalty=model.penalty() if with_it else None)
        grads.append({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})
    model.zero_grad()
    model.losses([batch])
    penalty = model.penalty()
    assert penalty is not None
    penalty.backward()
    moved = False
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(grads[1][name] - grads[0][name], parameter.grad, rtol=1e-3, atol=1e-3)
            moved = moved or bool(parameter.grad.any())
    assert moved
