"""A user's own Weigher and Combiner go through the engine: backward, probe, penalty, rows, loss scale, state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.protocol import Combiner, Family, Need, Seen, Weigher
from cotrain.balance.sum import Sum
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression


class InverseNorm(Weigher):
    """w_k = 1 / |g_k|, smoothed over steps by task name: a gradient method with a state."""

    name: ClassVar[str] = "inverse_norm"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "a user's own"
    cost: ClassVar[str] = "one Gramian"
    needs: frozenset[Need] = frozenset({"losses", "gramian"})

    def __init__(self, *, keep: float = 0.5) -> None:
        self.keep, self.norms, self.seen = keep, {}, []  # type: ignore[var-annotated]

    def weigh(self, seen: Seen) -> Tensor:
        self.seen.append(seen)
        assert seen.gramian is not None
        for task, square in zip(seen.tasks, seen.gramian.diagonal().tolist(), strict=True):
            self.norms[task] = self.keep * self.norms.get(task, square**0.5) + (1 - self.keep) * square**0.5
        return 1 / seen.gramian.new_tensor([self.norms[task] for task in seen.tasks])

    def state_dict(self) -> dict[str, Any]:
        return {"norms": dict(self.norms)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.norms = dict(state["norms"])


class Doubling(Weigher):
    """A loss method: w_k = 2."""

    name: ClassVar[str] = "doubling"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "a user's own"
    cost: ClassVar[str] = "one joint step"
    needs: frozenset[Need] = frozenset({"losses"})

    def weigh(self, seen: Seen) -> Tensor:
        return torch.full_like(seen.losses, 2.0)


class SignVote(Combiner):
    """The sum of the rows where most of them agree in sign, else zero."""

    name: ClassVar[str] = "sign_vote"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "a user's own"
    cost: ClassVar[str] = "all rows"
    at: ClassVar[Literal["features", "parameters"]] = "parameters"

    def combine(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return rows.sum(0) * (rows.sign().sum(0).abs() == len(rows))


def network() -> tuple[Model, Batch]:
    tasks = [Binary("yes"), Regression("size")]
    batch = Batch(
        {"x": Field.dense(torch.randn(12, 4))},
        {"yes": Field.dense((torch.rand(12) > 0.5).float()), "size": Field.dense(torch.randn(12, 1) * 5)},
    )
    model = Model(encoder=MLP(widths=[6, 6], dropout=0.0), sharing=MMoE(experts=2), tasks=tasks).meet(batch)
    return model.double(), batch


def rows_of(model: Model, batch: Batch) -> tuple[list[nn.Parameter], Tensor, dict[str, list[Tensor | None]]]:
    """(shared parameters both losses reach, their gradients [2, P], all gradients by task), by a plain loop."""
    parameters = list(model.parameters())
    every = {
        name: list(torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True))
        for name, loss in model.losses([batch]).items()
    }
    shared = [i for i in range(len(parameters)) if all(found[i] is not None for found in every.values())]
    rows = torch.stack([torch.cat([found[i].flatten() for i in shared]) for found in every.values()])  # type: ignore[union-attr]
    return [parameters[i] for i in shared], rows, every


def gradient(parameters: list[nn.Parameter]) -> Tensor:
    return torch.cat([one.grad.flatten() for one in parameters if one.grad is not None])


def test_an_own_weigher_weighs_the_shared_part_and_leaves_heads_and_gates_at_their_own_gradient() -> None:
    model, batch = network()
    shared, rows, every = rows_of(model, batch)
    balancer = InverseNorm()
    report = Engine(balancer=balancer, length="paper").backward(model.losses([batch]))
    torch.testing.assert_close(balancer.seen[0].gramian, rows @ rows.T)
    expected = 1 / rows.norm(dim=1)
    assert list(report.weights.values()) == pytest.approx(expected.tolist())
    torch.testing.assert_close(gradient(shared), expected @ rows)
    for position, parameter in enumerate(model.parameters()):
        if all(parameter is not one for one in shared):
            own = [found[position] for found in every.values() if found[position] is not None]
            torch.testing.assert_close(parameter.grad, own[0])


def test_length_norm_keeps_the_weighted_lengths_at_those_of_the_sum() -> None:
    model, batch = network()
    _, rows, _ = rows_of(model, batch)
    report = Engine(balancer=InverseNorm()).backward(model.losses([batch]))
    lengths = rows.norm(dim=1)
    weights = torch.tensor(list(report.weights.values()), dtype=torch.float64)
    assert float((weights * lengths).sum()) == pytest.approx(float(lengths.sum()))


def test_a_loss_method_weighs_trunk_and_heads_alike() -> None:
    model, batch = network()
    Engine(balancer=Doubling()).backward(model.losses([batch]))
    found = gradient(list(model.parameters()))
    model.zero_grad()
    (2 * torch.stack(list(model.losses([batch]).values())).sum()).backward()
    torch.testing.assert_close(found, gradient(list(model.parameters())))


def test_an_own_combiner_is_shown_the_rows_and_its_answer_is_applied() -> None:
    model, batch = network()
    shared, rows, _ = rows_of(model, batch)
    Engine(balancer=SignVote(), length="paper").backward(model.losses([batch]))
    torch.testing.assert_close(gradient(shared), SignVote().combine(rows))


def test_probe_measures_and_touches_nothing() -> None:
    model, batch = network()
    _, rows, _ = rows_of(model, batch)
    losses = model.losses([batch])
    measured = Engine(balancer=Sum()).probe(losses)
    torch.testing.assert_close(measured.gramian, rows @ rows.T)
    assert measured.tasks == ("yes", "size")
    assert all(parameter.grad is None for parameter in model.parameters())
    Engine(balancer=Sum()).backward(losses)
    torch.testing.assert_close(gradient(rows_of(model, batch)[0]), rows.sum(0))


def test_a_penalty_belongs_to_no_task() -> None:
    model, batch = network()
    shared, rows, _ = rows_of(model, batch)
    penalty = 0.1 * torch.stack([parameter.square().sum() for parameter in shared]).sum()
    Engine(balancer=InverseNorm(), length="paper").backward(model.losses([batch]), penalty=penalty)
    flat = torch.cat([parameter.detach().flatten() for parameter in shared])
    torch.testing.assert_close(gradient(shared), (1 / rows.norm(dim=1)) @ rows + 0.2 * flat)


def test_rows_of_each_task_change_nothing_but_cost() -> None:
    model, batch = network()
    half = torch.arange(12) < 6
    targets = {
        "yes": Field(batch.targets["yes"].values, half),
        "size": Field(batch.targets["size"].values, ~half),
    }
    batch = Batch(batch.inputs, targets)
    found = []
    for rows in (None, {"yes": half.nonzero().squeeze(1), "size": (~half).nonzero().squeeze(1)}):
        model.zero_grad()
        report = Engine(balancer=InverseNorm(), length="paper").backward(model.losses([batch]), rows=rows)
        found.append((gradient(list(model.parameters())), report.gramian))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_a_loss_scale_is_undone_before_weighing_and_stays_on_the_gradient() -> None:
    model, batch = network()
    shared, rows, _ = rows_of(model, batch)
    scaled = {name: 1024 * loss for name, loss in model.losses([batch]).items()}
    balancer = InverseNorm()
    Engine(balancer=balancer, length="paper").backward(scaled, loss_scale=1024.0)
    torch.testing.assert_close(balancer.seen[0].gramian, rows @ rows.T)
    torch.testing.assert_close(balancer.seen[0].losses * 1024, torch.stack(list(scaled.values())).detach())
    torch.testing.assert_close(gradient(shared), 1024 * ((1 / rows.norm(dim=1)) @ rows))


def test_state_loads_into_a_fresh_engine_and_an_absent_task_does_no_harm() -> None:
    model, batch = network()
    engine = Engine(balancer=InverseNorm())
    engine.backward(model.losses([batch]))
    only = Batch(batch.inputs, {"size": batch.targets["size"]})
    engine.backward(model.losses([only]))
    fresh = Engine(balancer=InverseNorm())
    fresh.load_state_dict(engine.state_dict())
    a, b = (one.backward(model.losses([batch])).weights for one in (engine, fresh))
    assert a == b
    assert list(a) == ["yes", "size"]
