"""One task's prediction feeds another: heads run in the order of the feeds, each once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.balance.gallery import BALANCERS
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.cascade import Cascade
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression
from cotrain.training.loop import Trainer

TASKS = [Regression("price"), Binary("bought"), Multiclass("size", classes=["s", "m", "l"])]


def batch(*labelled: str, rows: int = 24) -> Batch:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=draw)
    targets = {
        "bought": Field.dense((x[:, :1] > 0).float()),
        "size": Field.dense(torch.randint(0, 3, (rows,), generator=draw)),
        "price": Field.dense(x[:, 1:2] + (x[:, :1] > 0).float()),
    }
    return Batch({"x": Field.dense(x)}, {name: targets[name] for name in labelled or targets})


def network(**settings: Any) -> Model:
    """`price` is told what `bought` and `size` predict, through a U that is not 0."""
    torch.manual_seed(0)
    cascade = Cascade(feeds={"price": ("bought", "size")}, **settings)
    model = Model(encoder=MLP(widths=[6, 5]), sharing=cascade, tasks=TASKS).meet(batch())
    for name, one in model.named_parameters():
        if "answers" in name or "feeds" in name:
            nn.init.normal_(one)
    return model.eval()


def test_chances_are_told_and_the_network_is_the_formula() -> None:
    model, rows = network(), batch()
    part, sharing = model.parts[0], model.parts[0].sharing  # type: ignore[union-attr]
    outputs = model(rows)
    z = sharing.bottom[0](part.encoders["of_main"].embed(rows.inputs))
    feeds = sharing.answers["of_price"]
    told = z.values
    for name, chances in (("bought", outputs["bought"].sigmoid()), ("size", outputs["size"].softmax(1))):
        told = told + feeds[f"of_{name}"].linear.linear(chances)
    expected = model.heads["of_price"]([sharing.own["of_price"][0](z.of(told))])
    torch.testing.assert_close(outputs["price"], expected)


def test_what_is_told_is_what_the_head_predicts() -> None:
    for tell, moves in (("predictions", True), ("both", True), ("features", False)):
        model = network(tell=tell)
        before = model.predict(batch())["price"]
        with torch.no_grad():
            model.heads["of_bought"].layers[-1].bias.add_(2.0)  # type: ignore[union-attr]
        assert torch.equal(before, model.predict(batch())["price"]) is not moves


def test_a_task_without_labels_in_a_batch_is_told_of_all_the_same() -> None:
    model, rows = network().train(), batch("price")
    losses = model.losses([rows])
    assert list(losses) == ["price"]
    losses["price"].backward()  # type: ignore[no-untyped-call]
    assert model.heads["of_bought"].layers[-1].weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]


def test_every_head_runs_once() -> None:
    model, runs = network(), []
    for name, head in model.heads.items():
        head.register_forward_hook(lambda *_, name=name: runs.append(name))
    model(batch())
    assert sorted(runs) == sorted(model.heads)


@pytest.mark.parametrize("detach", [False, True])
def test_detached_answers_keep_the_loss_out_of_the_head_that_gave_them(detach: bool) -> None:
    model = network(detach=detach).train()
    model.losses([batch("price")])["price"].backward()  # type: ignore[no-untyped-call]
    reached = model.heads["of_bought"].layers[-1].weight.grad is not None  # type: ignore[union-attr]
    assert reached is not detach
    shared = {id(one) for one in model.shared_parameters()}
    assert {id(one) for one in model.heads["of_bought"].parameters()} <= shared


@pytest.mark.parametrize("method", ["sum", "uncertainty", "nash_mtl", "upgrad", "graddrop"])
def test_a_cascade_of_predictions_learns_with_every_kind_of_balancer(method: str) -> None:
    torch.manual_seed(0)
    cascade = Cascade(feeds={"price": ("bought",), "size": ("price", "bought")})
    model = Model(encoder=MLP(widths=[8]), sharing=cascade, tasks=TASKS)
    train = {"epochs": 12, "optimizer": {"lr": 0.03}}
    history = Trainer(model, balancer=BALANCERS[method](), train=train).fit([batch(rows=64)])
    first, last = history.records[0]["losses"], history.records[-1]["losses"]
    assert all(last[task] < first[task] for task in ("bought", "price"))
    assert any(key.startswith("told/size<-price") and value > 0 for key, value in history.records[-1]["usage"].items())


def test_an_answer_that_is_not_one_line_of_numbers_a_row_cannot_be_told() -> None:
    class Twice(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return torch.cat([values[:, :1]] * 2)

    cascade = Cascade(feeds={"price": ("bought",)})
    model = Model(encoder=MLP(widths=[4]), sharing=cascade, tasks=TASKS, heads={"bought": Twice()}).meet(batch())
    with pytest.raises(ConfigError, match=r"answer of task 'bought' only if it is 1 numbers a row"):
        model.eval()(batch())
