"""Errors under many weightings at once equal the metric computed under each of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cotrain.core.fields import Field
from cotrain.core.spec import Task
from cotrain.tasks.binary import Binary
from cotrain.tasks.count import Count
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.multilabel import Multilabel
from cotrain.tasks.ordinal import Ordinal
from cotrain.tasks.positive import Positive
from cotrain.tasks.quantile import Quantile
from cotrain.tasks.regression import Regression
from cotrain.tasks.reweighted import AT_ONCE, SLOW_REPLICATES, errors_under, of_auc, of_mean
from cotrain.tasks.scores import error_of
from cotrain.tasks.survival import Survival

ROWS = 60
AGES = pl.DataFrame({"y": [0.0, 40.0]})
TASKS: list[Task] = [
    *(Binary("y", metric=metric) for metric in ("auc", "log_loss", "accuracy", "f1")),
    *(Multiclass("y", classes=3, metric=metric) for metric in ("accuracy", "f1_macro", "log_loss")),
    *(Regression("y", metric=metric).refitted(AGES) for metric in ("rmse", "mae", "r2")),
    Regression("y", columns=("a", "b")),
    *(Ordinal("y", classes=4, metric=metric) for metric in ("kappa", "accuracy", "mae", "f1_macro")),
    *(Count("y", exposure="e", metric=metric) for metric in ("d2", "deviance", "mae", "rmse", "rmsle")),
    *(Positive("y", metric="d2", loss=loss) for loss in Positive.losses.values()),
    *(Quantile("y", metric=metric).refitted(AGES) for metric in ("pinball", "mae", "width")),
    Survival("y", time="t", event="e").refitted(pl.DataFrame({"t": [1.0, 2.0, 3.0], "e": [1, 1, 0]})),
    Multilabel("y", columns=("a", "b"), metric="f1_micro"),
]


def draws(count: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=count).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.kind} {task.metrics.primary}")
def test_they_equal_the_metric_under_each_weighting(task: Task, weighted: bool) -> None:
    held = torch.rand(ROWS) > 0.2
    values = {
        "binary": (torch.rand(ROWS) > 0.6).float(),
        "multiclass": torch.randint(3, (ROWS,)),
        "regression": torch.randn(ROWS, task.outputs),
        "ordinal": torch.randint(4, (ROWS,)),
        "count": torch.stack([torch.randint(5, (ROWS,)).float(), torch.rand(ROWS) + 0.5], 1),
        "positive": torch.stack([torch.rand(ROWS) + 0.1, torch.ones(ROWS)], 1),
        "quantile": torch.randn(ROWS, 1),
        "survival": torch.stack(
            [torch.zeros(ROWS), torch.zeros(ROWS), torch.rand(ROWS) * 3, torch.arange(ROWS) % 2], 1
        ),
        "multilabel": (torch.rand(ROWS, 2) > 0.5).float(),
    }[task.kind]
    output = torch.randn(ROWS, task.outputs).round(decimals=1)  # ties
    target, weight = Field(values, held), torch.rand(ROWS) if weighted else None
    counts = draws(AT_ONCE + 8 if (task.kind, task.metrics.primary) == ("binary", "auc") else 5)
    found = errors_under(task, output, target, weight, counts)
    metric = task.metrics.primary
    base = torch.ones(ROWS, dtype=torch.float64) if weight is None else weight.double()
    expected = [
        error_of(metric, task.metrics.score(output, target, base * torch.from_numpy(row))[metric]) for row in counts
    ]
    assert len(found) == len(counts) < SLOW_REPLICATES
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_areas_under_weights_with_ties_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    score, truth = generator.integers(0, 5, ROWS).astype(float), (generator.random(ROWS) > 0.5).astype(float)
    weights = generator.random((7, ROWS))
    expected = [1 - roc_auc_score(truth, score, sample_weight=row) for row in weights]
    np.testing.assert_allclose(of_auc(score, truth)(weights), expected, rtol=1e-9)
    assert of_auc(np.zeros(ROWS), truth)(weights) == pytest.approx(0.5)


def test_where_nothing_can_be_told_the_error_is_nan() -> None:
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    areas = of_auc(np.array([0.1, 0.9]), np.array([0.0, 1.0]))(weights)
    assert np.isnan(areas).tolist() == [True, True, False]
    assert areas[2] == 0.0
    assert np.isnan(of_auc(np.zeros(0), np.zeros(0))(np.zeros((3, 0)))).all()
    means = of_mean(np.array([4.0, 16.0]), root=True)(np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 3.0]]))
    assert (means[0], np.isnan(means[1]), means[2]) == (2.0, True, pytest.approx(13.0**0.5))


def test_outputs_that_are_no_numbers_give_no_error() -> None:
    output = torch.full((ROWS, 1), float("nan"))
    target = Field.dense((torch.arange(ROWS) % 2).float())
    assert np.isnan(errors_under(Binary("y"), output, target, None, draws(3))).all()
