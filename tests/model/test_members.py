"""Members of an ensemble: shown the same targets, counted as the rows they came from, averaged when predicting."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.core.fields import Batch, Field, label_count
from cotrain.encoders.mlp import MLP
from cotrain.encoders.tabm import TabM
from cotrain.model.compose import Model
from cotrain.model.members import averaged, loss_of_members, repeated
from cotrain.model.mixup import Mixing
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.loop import Trainer


def test_ragged_targets_are_repeated_row_by_row() -> None:
    tags = Field(
        torch.arange(5),
        torch.tensor([True, False, True]),
        torch.tensor([0, 2, 2, 5]),
        torch.tensor([True, False, True, True, True]),
    )
    twice = repeated(tags, 2)
    assert len(twice) == 6
    assert twice.offsets is not None
    assert twice.valid is not None
    assert twice.offsets.tolist() == [0, 2, 2, 5, 7, 7, 10]
    assert twice.values.tolist() == [*range(5), *range(5)]
    assert twice.valid.tolist() == tags.valid.tolist() * 2  # type: ignore[union-attr]
    assert float(label_count(twice, None)) == 2 * float(label_count(tags, None))


@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 0.5, 2.0, 0.0])], ids=["plain", "weighted"])
def test_the_loss_is_the_mean_over_members_and_the_count_that_of_the_rows(weight: torch.Tensor | None) -> None:
    task = Regression("size", columns=["a", "b"])
    target = Field.dense(torch.randn(4, 2), torch.rand(4, 2) > 0.3)
    outputs = torch.randn(3, 4, 2)
    total, count = loss_of_members(task, outputs.reshape(12, 2), target, weight, 3)
    alone = [task.loss(one, target, weight) for one in outputs]
    torch.testing.assert_close(total, torch.stack([one[0] for one in alone]).mean())
    torch.testing.assert_close(count, alone[0][1])


def test_outputs_without_an_average_of_their_own_are_averaged_as_they_are() -> None:
    outputs = torch.randn(3, 4, 2)
    torch.testing.assert_close(averaged(Regression("size"), outputs.reshape(12, 2), 3), outputs.mean(0))
    logits = outputs[..., :1].reshape(12, 1)
    torch.testing.assert_close(
        torch.sigmoid(averaged(Binary("yes"), logits, 3)), torch.sigmoid(outputs[..., :1]).mean(0)
    )
    assert averaged(Binary("yes"), logits, 1) is logits


@pytest.mark.parametrize("sharing", [Hard(), MMoE(experts=2)], ids=str)
@pytest.mark.parametrize(
    "encoder", [MLP(widths=[8, 8], dropout=0.0), TabM(members=3, widths=[8, 8], dropout=0.0)], ids=["mlp", "tabm"]
)
def test_tasks_on_different_rows_are_balanced_with_and_without_members(encoder: Any, sharing: Any) -> None:
    torch.manual_seed(0)
    rows, left = 48, torch.arange(48) % 2 == 0
    x = torch.randn(rows, 3)
    targets = {"yes": Field((x[:, :1] > 0).float(), left), "size": Field(x[:, 1:2], ~left)}
    batch = Batch({"x": Field.dense(x)}, targets, row=torch.arange(rows))
    model = Model(encoder=encoder, sharing=sharing, tasks=[Binary("yes"), Regression("size")]).meet(batch)
    before = {name: float(total.detach()) for name, (total, _) in model.totals(batch).items()}
    trainer = Trainer(
        model,
        engine=Engine(model.parts, NashMTL(), tasks=list(model.tasks)),
        train={"epochs": 30, "optimizer": {"name": "adamw", "lr": 0.03}},
    )
    trainer.fit([batch])
    after = {name: float(total.detach()) for name, (total, _) in model.totals(batch).items()}
    assert all(after[name] < 0.7 * before[name] for name in before)


def test_mixed_rows_keep_their_partner_within_each_member() -> None:
    torch.manual_seed(0)
    batch = Batch({"x": Field.dense(torch.randn(6, 3))}, {"size": Field.dense(torch.randn(6, 1))})
    model = Model(encoder=TabM(members=3, widths=[5], dropout=0.0), tasks=[Regression("size")]).meet(batch)
    mixing = Mixing(0.7, torch.tensor([1, 2, 0, 4, 5, 3]))
    x = batch.inputs["x"].values
    mixed = Batch({"x": Field.dense(0.7 * x + 0.3 * x[mixing.partner])}, batch.targets)
    partners = Batch(mixed.inputs, {"size": batch.targets["size"].select(mixing.partner)})
    found = model.losses([batch], mixings=[mixing])["size"]
    own, other = (model.losses([one])["size"] for one in (mixed, partners))
    torch.testing.assert_close(found, 0.7 * own + 0.3 * other)
