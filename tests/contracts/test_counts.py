"""L_k = all sums / all counts: exact over micro-batches, and nothing that does not count leaks in, by value or by gradient."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field, cell_weight, label_count, weighted
from cotrain.core.spec import Task
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression

TASKS: list[Task] = [
    Binary("yes"),
    Multiclass("which", classes=3),
    Regression("sizes", columns=("a", "b")),
    Regression("age", loss=Regression.losses["absolute"], weight=2.0),
]


def joined(rows: int = 24) -> Batch:
    """Rows with missing labels, missing cells and uneven weights (some zero)."""
    generator = torch.Generator().manual_seed(1)
    some = torch.rand(rows, generator=generator) > 0.3
    cells = torch.rand(rows, 2, generator=generator) > 0.4
    return Batch(
        {"x": Field.dense(torch.randn(rows, 3, generator=generator))},
        {
            "yes": Field((torch.rand(rows, generator=generator) > 0.5).float(), some),
            "which": Field(torch.randint(3, (rows,), generator=generator), some.flip(0)),
            "sizes": Field(torch.randn(rows, 2, generator=generator), cells.any(1), None, cells),
            "age": replace(
                Field.dense(torch.randn(rows, 1, generator=generator)), weight=torch.rand(rows, generator=generator)
            ),
        },
        weight=(torch.rand(rows, generator=generator) * 2 - 0.4).clamp_min(0),
        row=torch.arange(rows),
    )


def network() -> Model:
    model = Model(encoder=MLP(widths=[8, 8], dropout=0.0), sharing=MMoE(experts=3), tasks=TASKS).meet(joined())
    model.set_scales({"yes": 0.7, "age": 3.0})
    return model.double()


def gradients(model: Model, losses: dict[str, Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(torch.stack(list(losses.values())).sum(), list(model.parameters()))
    return list(found)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_count_a_loss_returns_is_label_count(task: Task) -> None:
    batch = joined()
    target = batch.targets[task.name]
    for weight in (None, batch.weight):
        _, count = task.loss(torch.randn(24, task.outputs), target, weight)
        assert float(count) == pytest.approx(float(label_count(target, weight)), rel=1e-6)
        assert float(count) == pytest.approx(float(cell_weight(target, weight).sum()), rel=1e-6)


@pytest.mark.parametrize("cuts", [[24], [12, 12], [1, 5, 18], [8] * 3], ids=str)
def test_micro_batches_add_up_to_the_joined_batch(cuts: list[int]) -> None:
    model, whole = network(), joined()
    parts = [whole.select(rows) for rows in torch.split(torch.randperm(24), cuts)]
    counts = model.counts(parts)
    assert {name: float(count) for name, count in counts.items()} == pytest.approx(
        {name: float(count) for name, count in model.counts([whole]).items()}
    )
    expected = model.losses([whole])
    together = model.losses(parts)
    for name, loss in expected.items():
        torch.testing.assert_close(together[name], loss)
        one_by_one = [model.losses([part], counts)[name] for part in parts if name in model.losses([part], counts)]
        torch.testing.assert_close(torch.stack(one_by_one).sum(), loss)
    for a, b in zip(gradients(model, expected), gradients(model, together), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e30])
def test_what_stands_where_nothing_is_held_leaks_nowhere(filler: float) -> None:
    model, clean = network(), joined()
    targets = {}
    for name, target in clean.targets.items():
        held = target.held().reshape(24, -1).expand(target.values.reshape(24, -1).shape).reshape(target.values.shape)
        bad = torch.tensor(filler) if target.values.is_floating_point() else torch.tensor(-100)
        targets[name] = replace(target, values=torch.where(held, target.values, bad.to(target.values.dtype)))
    spoilt = replace(clean, targets=targets)
    for name, loss in model.losses([clean]).items():
        torch.testing.assert_close(model.losses([spoilt])[name], loss, rtol=0, atol=0)
    for a, b in zip(gradients(model, model.losses([clean])), gradients(model, model.losses([spoilt])), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    for task in TASKS:
        output = torch.randn(24, task.outputs)
        assert task.metrics.score(output, clean.targets[task.name], clean.weight) == pytest.approx(
            task.metrics.score(output, spoilt.targets[task.name], clean.weight), nan_ok=True
        )


def test_a_row_of_weight_zero_is_as_if_it_were_not_there() -> None:
    model, batch = network(), joined()
    assert batch.weight is not None
    left = batch.select((batch.weight > 0).nonzero().squeeze(1))
    for name, loss in model.losses([batch]).items():
        torch.testing.assert_close(model.losses([left])[name], loss)
    rows = batch.weight == 0
    batch.inputs["x"].values.requires_grad_(True)
    torch.stack(list(model.losses([batch]).values())).sum().backward()
    assert batch.inputs["x"].values.grad is not None
    assert float(batch.inputs["x"].values.grad[rows].abs().max()) == 0.0


def test_doubling_a_weight_is_repeating_the_row() -> None:
    model, batch = network(), replace(joined(), weight=None)
    twice = batch.select(torch.cat([torch.arange(24), torch.arange(6)]))
    weight = torch.ones(24)
    weight[:6] = 2
    for name, loss in model.losses([replace(batch, weight=weight)]).items():
        torch.testing.assert_close(loss, model.losses([twice])[name])


def test_a_task_without_a_label_in_the_step_is_absent() -> None:
    model, batch = network(), joined()
    none = replace(batch, targets={**batch.targets, "yes": Field(torch.zeros(24), torch.zeros(24, dtype=torch.bool))})
    assert list(model.losses([none])) == ["which", "sizes", "age"]
    assert float(model.counts([none])["yes"]) == 0.0


def test_a_loss_that_counts_otherwise_is_refused() -> None:
    def per_row(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        total, count = weighted((output.reshape(-1) - target.values.reshape(-1)) ** 2, target, weight)
        return total, count * 0 + 1

    batch = joined()
    model = Model(encoder=MLP(widths=[4]), tasks=[Regression("age", loss=per_row)])
    alone = replace(batch, targets={"age": batch.targets["age"]})
    with pytest.raises(ConfigError, match="loss of task 'age' counts 1"):
        model.meet(alone).losses([alone])
