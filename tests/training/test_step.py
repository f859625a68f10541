"""A step: parts equal the whole, what is not finite changes nothing, the cause is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.protocol import Balancer
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import TrainingError
from cotrain.core.fields import Batch, Field
from cotrain.core.together import goes_back_once
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.ple import PLE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.diagnose import Every
from cotrain.training.feed import Feed
from cotrain.training.loop import Trainer
from cotrain.training.optimise import NamedOptimizer
from cotrain.training.optimizer_settings import OptimizerSettings
from cotrain.training.place import Place
from cotrain.training.settings import TrainSettings
from cotrain.training.step import Step, labelled_rows
from cotrain.training.tally import Tally

Fresh = Callable[..., Model]
Rows = Callable[..., Any]


def step_of(
    model: Model,
    *,
    precision: str = "32",
    clip: float | None = None,
    patience: int = 3,
    balancer: Balancer | None = None,
    diagnose: Every = None,
) -> Step:
    place = Place(TrainSettings(device="cpu", precision=precision))
    place.take(model)
    optimizer = NamedOptimizer(model.train(), OptimizerSettings(name="sgd", lr=0.1, momentum=0.0, weight_decay=0.0))
    engine = Engine(balancer=balancer or Sum())
    return Step(model, engine, optimizer, place, clip=clip, patience=patience, diagnose=diagnose)


def batches_of(rows: Any, size: int) -> list[list[Batch]]:
    return list(Feed(rows, tasks=("yes", "number"), size=size, shuffle=False).epoch(0))


def weights(model: Model) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def test_accumulated_parts_with_uneven_missing_labels_equal_the_joined_batch(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(64)
    y["number"][:16] = float("nan")  # one part without a single label, the others with different numbers of them
    parts, whole = fresh(), fresh()
    before = weights(whole)
    step_of(parts)(batches_of((x, y), 16), Tally())
    step_of(whole)(batches_of((x, y), 64), Tally())
    assert torch.allclose(weights(parts), weights(whole), rtol=0, atol=1e-7)
    assert (weights(whole) - before).abs().max() > 1e-3


def test_the_tally_of_accumulated_parts_is_the_loss_of_the_joined_batch(fresh: Fresh, rows: Rows) -> None:
    parts, whole = Tally(), Tally()
    step_of(fresh())(batches_of(rows(60), 25), parts)
    step_of(fresh())(batches_of(rows(60), 60), whole)
    assert parts.losses() == pytest.approx(whole.losses(), rel=1e-6)
    assert (parts.rows, parts.steps) == (60, 1)


def test_two_sources_in_one_step_equal_their_rows_in_one_batch(fresh: Fresh, rows: Rows) -> None:
    (first,), (second,) = batches_of(rows(20, 1), 20), batches_of(rows(30, 2), 30)
    both = [first[0], second[0]]
    joined = Batch(
        {"x": Field.cat([one.inputs["x"] for one in both])},
        {name: Field.cat([one.targets[name] for one in both]) for name in ("yes", "number")},
    )
    apart, together = fresh(), fresh()
    step_of(apart)([both], Tally())
    step_of(together)([[joined]], Tally())
    assert torch.allclose(weights(apart), weights(together), rtol=0, atol=1e-7)


def test_clipping_limits_the_length_of_the_whole_gradient(fresh: Fresh, rows: Rows) -> None:
    for clip, expected in ((0.1, 0.1), (1e6, None)):
        model = fresh()
        before = weights(model)
        step_of(model, clip=clip)(batches_of(rows(64), 64), Tally())
        moved = float((weights(model) - before).norm()) / 0.1
        free = fresh()
        step_of(free)(batches_of(rows(64), 64), Tally())
        assert moved == pytest.approx(expected or float((weights(free) - before).norm()) / 0.1, rel=1e-3)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(fresh: Fresh, rows: Rows) -> None:
    model, tally = fresh(), Tally()
    step = step_of(model)
    good = batches_of(rows(32), 32)
    x, _ = rows(32)
    x[3, 1] = float("inf")
    bad = [[Batch({"x": Field.dense(x)}, good[0][0].targets)]]
    step(good, tally)
    before = weights(model)
    step(bad, tally)
    assert torch.equal(weights(model), before)
    assert (tally.skipped, step.in_a_row) == (1, 1)
    assert all(parameter.grad is None for parameter in model.parameters())
    step(good, tally)
    assert step.in_a_row == 0
    assert not torch.equal(weights(model), before)


def test_an_infinite_gradient_of_a_finite_loss_is_found(fresh: Fresh, rows: Rows) -> None:
    model = fresh()
    losses = model.losses

    def broken(batches: Any, counts: Any = None, mixings: Any = None) -> dict[str, Tensor]:
        found = losses(batches, counts, mixings)
        first = next(model.parameters())
        found["number"] = found["number"] + (first * 0).sum().sqrt()  # 0 with an infinite slope
        return found

    model.losses = broken  # type: ignore[method-assign]
    before, tally = weights(model), Tally()
    step = step_of(model, patience=2)
    step(batches_of(rows(32), 32), tally)
    assert torch.equal(weights(model), before)
    assert tally.skipped == 1
    with pytest.raises(TrainingError, match=r"2 steps in a row.*task 'number'"):
        step(batches_of(rows(32), 32), tally)


def test_persisting_trouble_names_the_input(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(64)
    x[:, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"input 'x'.*not finite.*lower train\.optimizer\.lr"):
        Trainer(fresh(), train={"epochs": 20, "batch_size": 32, "patience_nonfinite": 4}).fit((x, y))


def test_persisting_trouble_names_the_task(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(64)
    y["number"] = torch.full((64,), 1e30)
    with pytest.raises(TrainingError, match="task 'number'"):
        Trainer(fresh(), train={"epochs": 20, "loss_scale": "none", "patience_nonfinite": 4}).fit((x, y))


def test_a_task_that_is_not_finite_is_left_out_and_the_others_step_as_if_alone(fresh: Fresh, rows: Rows) -> None:
    (batches,) = batches_of(rows(32), 32)
    x, targets = batches[0].inputs, batches[0].targets
    huge = Field(torch.full((32,), 1e30), targets["number"].present)
    broken, alone, tally = fresh(), fresh(), Tally()
    step = step_of(broken)
    assert step([[Batch(x, {**targets, "number": huge})]], tally)
    assert step_of(alone)([[Batch(x, {"yes": targets["yes"]})]], Tally())
    assert torch.equal(weights(broken), weights(alone))
    assert (tally.skipped, tally.record()["left_out"], step.lost_in_a_row) == (0, {"number": 1}, {"number": 1})
    assert set(tally.losses()) == {"yes"}
    assert step([batches], tally)
    assert step.lost_in_a_row == {}


def test_a_task_left_out_again_and_again_ends_the_training_and_a_few_times_are_noted(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(64)
    y["number"] = torch.full((64,), 1e30)
    train = {"epochs": 3, "batch_size": 32, "loss_scale": "none", "patience_nonfinite": 5}
    with pytest.raises(
        TrainingError, match=r"5 steps in a row left task 'number' out.*task 'number': its loss is not finite"
    ):
        Trainer(fresh(), train=train).fit((x, y))
    history = Trainer(fresh(), train={**train, "patience_nonfinite": 7}).fit((x, y))
    assert (history.left_out, history.skipped) == ({"number": 6}, 0)
    assert "task 'number' was left out of 6 of 6 steps" in history.notes[-1]


def test_a_batch_without_any_label_changes_nothing_and_is_no_trouble(fresh: Fresh, rows: Rows) -> None:
    model, tally = fresh(), Tally()
    x, _ = rows(8)
    empty = Field(torch.zeros(8), torch.zeros(8, dtype=torch.bool))
    before = weights(model)
    step_of(model)([[Batch({"x": Field.dense(x)}, {"yes": empty, "number": empty})]], tally)
    assert torch.equal(weights(model), before)
    assert tally.skipped == 0
    assert tally.record()["losses"] == {}


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.float32), ("64", torch.float64), ("32", torch.float32)]
)
def test_every_precision_learns(fresh: Fresh, rows: Rows, precision: str, dtype: torch.dtype) -> None:
    model = fresh()
    train = {"epochs": 8, "batch_size": 16, "precision": precision, "optimizer": {"lr": 0.02}, "device": "cpu"}
    history = Trainer(model, train=train).fit(rows(256), rows(64, 1))
    scores = [one["score"] for one in history.records]
    assert scores[-1] > scores[0] + 0.1
    assert next(model.parameters()).dtype == dtype


def test_the_factor_of_16_bit_precision_leaves_the_step_as_it_was(fresh: Fresh, rows: Rows) -> None:
    plain, scaled = fresh(), fresh()
    step_of(plain, clip=0.5)(batches_of(rows(64), 32), Tally())
    step = step_of(scaled, clip=0.5)
    step.place.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    step(batches_of(rows(64), 32), Tally())
    assert torch.allclose(weights(plain), weights(scaled), rtol=0, atol=1e-7)
    x, y = rows(16)
    bad = [[Batch({"x": Field.dense(x * float("inf"))}, batches_of((x, y), 16)[0][0].targets)]]
    before, tally = weights(scaled), Tally()
    step(bad, tally)
    assert torch.equal(weights(scaled), before)
    assert tally.skipped == 1
    assert step.place.loss_scale == 2.0**9


def test_optimiser_state_finds_its_parameters_by_name(fresh: Fresh, rows: Rows) -> None:
    model = fresh()
    optimizer = NamedOptimizer(model, OptimizerSettings(lr=0.1))
    groups = optimizer.optimizer.param_groups
    decaying = {id(parameter) for group in groups if group["weight_decay"] > 0 for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in decaying) == name.endswith("weight")
        parameter.grad = torch.full_like(parameter, float(len(name)))
    optimizer.step()
    state = optimizer.state_dict()
    assert set(state) == {name for name, _ in model.named_parameters()}
    other = NamedOptimizer(model, OptimizerSettings(lr=0.1))
    other.load_state_dict(dict(reversed(list(state.items()))))
    for name, parameter in model.named_parameters():
        assert torch.equal(other.optimizer.state[parameter]["exp_avg"], state[name]["exp_avg"])
        assert float(other.optimizer.state[parameter]["step"]) == 1
    names = [len(name) for name, _ in model.named_parameters()]
    assert any(a != b for a, b in pairwise(names)) or len(names) < 2


def test_tasks_whose_rows_are_disjoint_are_balanced_as_one_by_one(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(40)
    y["yes"][::2] = float("nan")
    y["number"] = x[:, 0].clone()
    y["number"][1::2] = float("nan")
    (batches,) = batches_of((x, y), 40)
    found = []
    for known in (True, False):
        model, tally = fresh(), Tally()
        step = step_of(model)
        step.engine = Engine(balancer=NashMTL())
        step.compares = known
        step([batches], tally)
        found.append((weights(model), tally.record()["cosines"]["yes|number"]))
    assert torch.allclose(found[0][0], found[1][0], rtol=0, atol=1e-6)
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-5)
    masks = labelled_rows(batches, ("yes", "number"))
    assert masks is not None
    assert masks["yes"].tolist() == [False, True] * 20
    assert labelled_rows(batches_of(rows(40), 40)[0], ("yes", "number")) is None
    assert labelled_rows([batches[0], batches[0]], ("yes", "number")) is None


def test_tasks_are_computed_together_only_where_no_gradient_of_one_is_looked_at(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(32)
    bare = {**y, "number": torch.full_like(y["number"], float("nan"))}
    everything: dict[str, tuple[Balancer, Any, Any, bool]] = {
        "a frozen head": (Sum(), None, y, False),
        "a sum": (Sum(), None, y, True),
        "weights from losses": (Uncertainty(), None, y, True),
        "weights from gradients": (NashMTL(), None, y, False),
        "gradients compared": (Sum(), 1, y, False),
        "a task without a label": (Sum(), None, bare, False),
    }
    for what, (balancer, diagnose, targets, expected) in everything.items():
        model = fresh()
        if what == "a frozen head":
            model.freeze("heads.yes")
        step = step_of(model, balancer=balancer, diagnose=diagnose)
        seen: list[bool] = []
        model.register_forward_pre_hook(lambda *_, seen=seen: seen.append(goes_back_once()))
        step(batches_of((x, targets), 32), Tally())
        assert seen == [expected], what
        assert not goes_back_once()


def test_a_step_in_one_pass_is_the_step_of_tasks_kept_apart(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    for apart in (False, True):
        torch.manual_seed(0)
        model = Model(encoder=MLP(widths=[16, 16]), sharing=PLE(shared=2), tasks=[Binary("yes"), Regression("number")])
        batches = batches_of(rows(64), 64)
        model.meet(batches[0][0])
        step = step_of(model)
        if apart:
            monkeypatch.setattr(Engine, "passes_once", False)
        before = weights(model)
        step(batches, Tally())
        moved.append(weights(model) - before)
    assert torch.allclose(moved[0], moved[1], rtol=1e-4, atol=1e-6)
    assert float(moved[0].abs().max()) > 1e-3
