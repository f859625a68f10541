"""A network that learns one thing more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.ple import PLE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.loop import Trainer


def batch(rows: int = 12) -> Batch:
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    return Batch({"x": Field.dense(x)}, {"a": Field.dense(x[:, :1]), "b": Field.dense((x[:, :1] > 0).float())})


@pytest.mark.parametrize(
    "recipe",
    [
        {"encoder": MLP(widths=[6, 4])},
        {"encoder": MLP(widths=[6, 4]), "sharing": Hard(split=1)},
        {"encoder": MLP(widths=[6, 4]), "sharing": MMoE(experts=3)},
        {"trunk": nn.Sequential(nn.Linear(3, 4), nn.Tanh())},
    ],
)
def test_a_task_more_changes_no_answer_of_the_old_one(recipe: dict[str, Any]) -> None:
    rows = batch()
    model = Model(tasks=[Regression("a")], **recipe).meet(rows).eval()
    before = model.predict(rows)["a"]
    fresh = model.add_task(Binary("b"))
    after = model.predict(rows)
    assert torch.equal(after["a"], before)
    assert after["b"].shape == (12, 1)
    assert fresh
    assert all("of_b" in name for name in fresh)


def test_the_new_task_alone_is_trained_beside_what_is_frozen() -> None:
    rows = batch(64)
    model = Model(encoder=MLP(widths=[6]), sharing=MMoE(experts=2), tasks=[Regression("a")]).meet(rows)
    fresh = model.add_task(Binary("b"))
    model.freeze("trunk", "heads.a", but=fresh)
    before = model.eval().predict(rows)
    Trainer(model, train={"epochs": 3, "batch_size": 16, "optimizer": {"lr": 0.05}}).fit([rows])
    after = model.predict(rows)
    assert torch.equal(before["a"], after["a"])
    assert not torch.equal(before["b"], after["b"])


def test_layers_that_hold_all_tasks_begin_anew_and_are_named() -> None:
    model = Model(encoder=MLP(widths=[6, 4]), sharing=PLE(), tasks=[Regression("a")]).meet(batch())
    assert any("inner.0.experts" in name for name in model.add_task(Binary("b")))


def test_a_task_can_be_added_before_the_network_is_built_and_a_name_once() -> None:
    model = Model(encoder=MLP(widths=[4]), tasks=[Regression("a")])
    assert model.add_task(Binary("b")) == ()
    assert sorted(model.meet(batch()).losses([batch()])) == ["a", "b"]
    with pytest.raises(ConfigError, match="every name once"):
        model.add_task(Binary("b"))
