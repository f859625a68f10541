"""The constant that `reference` gives is the minimiser of the task's own loss under its own weights and masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cotrain.core.fields import Field
from cotrain.core.spec import Task
from cotrain.losses import NegativeBinomialDeviance, gamma_deviance, log_squared_error
from cotrain.losses.absolute_error import absolute_error
from cotrain.losses.focal import BinaryFocal, Focal
from cotrain.tasks.binary import Binary
from cotrain.tasks.count import Count
from cotrain.tasks.labels import ClassCodec
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.multilabel import Multilabel
from cotrain.tasks.numbers import NumberCodec
from cotrain.tasks.ordinal import Ordinal, OrdinalCodec
from cotrain.tasks.positive import Positive
from cotrain.tasks.quantile import Quantile, QuantileCodec
from cotrain.tasks.regression import Regression
from cotrain.tasks.survival import Survival
from cotrain.tasks.survival_times import SurvivalCodec

TASKS: dict[str, Task] = {
    "binary": Binary("y"),
    "multiclass": Multiclass("y", classes=4),
    "binary, weighted": Binary("y", class_weights={"0": 1.0, "1": 5.0}),
    "binary, smoothed": Binary("y", smoothing=0.2, class_weights={"1": 3.0}),
    "binary, focal": Binary("y", loss=BinaryFocal(), class_weights={"1": 3.0}),
    "binary, focal 0.5": Binary("y", loss=BinaryFocal(), gamma=0.5),
    "multiclass, weighted": Multiclass("y", classes=4, class_weights={"0": 2.0, "3": 5.0}),
    "multiclass, smoothed": Multiclass("y", classes=4, smoothing=0.2, class_weights={"2": 3.0}),
    "multiclass, focal": Multiclass("y", classes=4, loss=Focal(), class_weights={"2": 3.0}),
    "multiclass, focal 0.5": Multiclass("y", classes=4, loss=Focal(), gamma=0.5),
    "squared": Regression("y"),
    "absolute": Regression("y", loss=absolute_error),
    "several columns": Regression("y", columns=("a", "b")),
    "several columns, absolute": Regression("y", columns=("a", "b"), loss=absolute_error),
    "multilabel, several": Multilabel("y", columns=("a", "b")),
    "ordinal": Ordinal("y", classes=4),
    "ordinal, fitted": Ordinal("y", classes=4).with_codec(
        OrdinalCodec(ClassCodec("y", ("y",), ("0", "1", "2", "3")), (0.5, -1.0, 0.3))
    ),
    "count": Count("y"),
    "count, exposure": Count("y", exposure="e"),
    "count, negative binomial": Count("y", exposure="e", loss=NegativeBinomialDeviance(2.0)),
    "positive": Positive("y"),
    "positive, gamma": Positive("y", loss=gamma_deviance),
    "positive, log-normal": Positive("y", loss=log_squared_error),
    "quantile": Quantile("y"),
    "quantile, fitted": Quantile("y", levels=(0.2, 0.7)).with_codec(
        QuantileCodec(NumberCodec("y", ("y",), (3.0,), (2.0,)), (0.2, 0.7), (-0.5, 0.4))
    ),
    "survival": Survival("y", columns=("t", "e")).with_codec(
        SurvivalCodec("y", ("t", "e"), edges=(1.0, 2.0, 3.0), base=(-1.0, 0.0, 0.5))
    ),
}


def labels(kind: str, rows: int) -> Field:
    held = torch.rand(rows) > 0.2
    held[:4] = True
    if kind.startswith("binary"):
        return Field(
            (torch.rand(rows) > 0.8).float().index_fill(0, torch.tensor([0]), 1).index_fill(0, torch.tensor([1]), 0),
            held,
        )
    if kind.startswith("survival"):
        survived = torch.cat([torch.arange(4), torch.randint(4, (rows - 4,))])
        came = (torch.rand(rows) > 0.4) & (survived < 3)
        return Field(torch.stack([survived, came, survived, came], 1).float(), held)
    if kind.startswith(("count", "positive")):
        y = torch.poisson(torch.rand(rows) * 4) if kind.startswith("count") else torch.rand(rows) + 0.1
        y = torch.where(torch.arange(rows) == 0, 3.0, y)
        if kind == "positive":
            y[1:4] = 0
        base = (
            torch.rand(rows) + 0.5
            if kind in ("count, exposure", "count, negative binomial")
            else torch.full((rows,), 2.0)
        )
        return Field(torch.stack([y, base], 1), held)
    if kind.startswith("multilabel"):
        values = (
            (torch.rand(rows, 2) > 0.7).float().index_fill(0, torch.tensor([0]), 1).index_fill(0, torch.tensor([1]), 0)
        )
        valid = (torch.rand(rows, 2) > 0.3).index_fill(0, torch.arange(2), True)
        return Field(values, valid.any(1), None, valid)
    if kind.startswith(("multiclass", "ordinal")):
        return Field(torch.cat([torch.arange(4), torch.randint(3, (rows - 4,))]), held)
    values = torch.randn(rows, 2 if "several" in kind else 1).exp()
    if "several" in kind:
        valid = torch.rand(rows, 2) > 0.3
        valid[:2] = True
        return Field(torch.where(valid, values, torch.tensor(float("nan"))), valid.any(1), None, valid)
    return Field(torch.where(held[:, None], values, torch.tensor(float("nan"))), held)


@given(st.integers(0, 10_000), st.sampled_from(sorted(TASKS)), st.sampled_from([None, 1.0, 1e-4, 1e4]))
@settings(max_examples=160, deadline=None)
def test_no_other_constant_has_a_smaller_loss(seed: int, kind: str, scale: float | None) -> None:
    torch.manual_seed(seed)
    task, target = TASKS[kind], labels(kind, 30)
    weight = None if scale is None else scale * torch.rand(30, dtype=torch.float64).add(0.01)
    best = task.reference(target, weight)
    assert best is not None
    assert best.shape == (task.outputs,)

    def mean(constant: torch.Tensor) -> float:
        total, count = task.loss(constant.expand(30, -1), target, weight)
        return float(total / count)

    least = mean(best)
    for size in (1.0, 0.1, 0.01):
        for _ in range(4):
            assert least <= mean(best + size * torch.randn(task.outputs)) + 1e-6 * max(1.0, least)


def test_a_rare_label_with_a_small_weight_is_not_rounded_up() -> None:
    target = Field.dense(torch.tensor([1.0] + [0.0] * 9))
    weight = torch.tensor([0.001] + [0.111] * 9)  # they sum to 1
    best = Binary("y").reference(target, weight)
    assert best is not None
    assert float(torch.sigmoid(best)) == pytest.approx(0.001 / float(weight.sum()), rel=1e-4)


@pytest.mark.parametrize("kind", TASKS)
def test_one_class_only_or_no_label_at_all_gives_a_finite_constant(kind: str) -> None:
    task = TASKS[kind]
    values = labels(kind, 8).filled() * 0
    if kind.startswith(("count", "positive")):
        values = values + torch.tensor([1.0, 1.0])  # the same amount in every row
    if kind == "survival":
        values[:, 1] = 1.0  # the event comes at once
    for held in (torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)):
        best = task.reference(Field(values, held), None)
        assert best is not None
        assert bool(best.isfinite().all())
        total, _ = task.loss(best.expand(8, -1), Field(values, held), None)
        assert float(total) == pytest.approx(0, abs=1e-4)


def test_a_loss_of_ones_own_has_no_known_constant() -> None:
    def own(output: torch.Tensor, target: Field, weight: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        return absolute_error(output, target, weight)

    target = Field.dense(torch.zeros(3))
    assert Regression("y", loss=own).reference(target, None) is None
    assert Binary("y", loss=own).reference(target, None) is None
    assert Multiclass("y", classes=2, loss=own).reference(Field.dense(torch.zeros(3, dtype=torch.int64)), None) is None
