"""Boosted trees of counts, amounts, quantiles, ordered classes and label sets: scikit-learn's own losses, in the outputs a head would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.losses import gamma_deviance, log_squared_error
from cotrain.tasks import Count, Multilabel, Ordinal, Positive, Quantile, Survival
from cotrain.training.boosting import boosted_output

SPECS = {"numbers": FieldSpec("number", ("a", "b"), shape=(2,))}
SETTINGS = {"max_iter": 100, "early_stopping": False, "random_state": 0}


def frame(rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, rows)).astype(np.float32)
    years = random.uniform(0.2, 3, rows).astype(np.float32)
    return pl.DataFrame({
        "a": a, "b": b, "years": years, "n": random.poisson(years * np.exp(a)),
        "cost": random.gamma(2, np.exp(0.5 * a)), "grade": np.digitize(a + 0.3 * random.normal(size=rows), [-1, 0, 1]),
        "sea": (a > 0).astype(int), "hill": [None if row % 3 == 0 else int(b[row] > 0) for row in range(rows)], "never": 0,
        "price": a + random.normal(size=rows), "days": random.exponential(np.exp(-a)), "died": 1,
    })  # fmt: skip


TRAIN, TEST = frame(300, 0), frame(60, 1)
TASKS: dict[str, Any] = {
    "count": Count("n", exposure="years"),
    "tweedie": Positive("cost"),
    "gamma": Positive("cost", loss=gamma_deviance),
    "log_normal": Positive("cost", loss=log_squared_error),
    "ordinal": Ordinal("grade"),
    "quantile": Quantile("price", levels=[0.1, 0.5, 0.9]),
    "multilabel": Multilabel("place", columns=["sea", "hill", "never"]),
}


def batch(task: Any, rows: pl.DataFrame, weight: torch.Tensor | None = None) -> Batch:
    x = rows["a", "b"].to_torch().float()
    return Batch({"numbers": Field.dense(x)}, {task.name: task.codec.encode(rows)}, weight)


@pytest.mark.parametrize("name", TASKS)
def test_trees_are_scored_like_a_network_and_beat_the_constant(name: str) -> None:
    task = TASKS[name].refitted(TRAIN)
    train, test = batch(task, TRAIN), batch(task, TEST)
    found = boosted_output(task, train, None, test, SPECS, 0)
    target = test.targets[task.name]
    assert found.shape == (60, task.outputs)
    assert bool(found.isfinite().all())
    constant = task.reference(train.targets[task.name], None).expand(60, -1)
    error, least = (task.error(task.metrics.score(one, target, None)) for one in (found, constant))
    assert error < 0.95 * least


def test_a_rate_is_fitted_with_exposures_as_weights() -> None:
    task = TASKS["count"].refitted(TRAIN)
    weight = torch.rand(300) + 0.5
    found = boosted_output(task, batch(task, TRAIN, weight), None, batch(task, TEST), SPECS, 0)
    base = (task.codec.mean * TRAIN["years"].to_numpy()).astype(np.float32).astype(np.float64)
    model = HistGradientBoostingRegressor(loss="poisson", **SETTINGS)
    model.fit(TRAIN["a", "b"].to_numpy(), TRAIN["n"].to_numpy() / base, sample_weight=base * weight.numpy())
    assert found[:, 0].exp().numpy() == pytest.approx(model.predict(TEST["a", "b"].to_numpy()), rel=1e-5)


def test_quantiles_are_those_of_a_model_a_level_sorted() -> None:
    task = TASKS["quantile"].refitted(TRAIN)
    found = task.codec.decoded(boosted_output(task, batch(task, TRAIN), None, batch(task, TEST), SPECS, 0))
    y = task.codec.encode(TRAIN).values[:, 0].double().numpy()
    each = []
    for level in task.codec.levels:
        model = HistGradientBoostingRegressor(loss="quantile", quantile=level, **SETTINGS)
        each.append(model.fit(TRAIN["a", "b"].to_numpy(), y).predict(TEST["a", "b"].to_numpy()))
    expected = task.codec.numbers.decoded(torch.from_numpy(np.sort(np.stack(each, 1), 1)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_chances_of_ordered_classes_are_those_of_the_classifier() -> None:
    task = TASKS["ordinal"].refitted(TRAIN)
    answers = task.decode(boosted_output(task, batch(task, TRAIN), None, batch(task, TEST), SPECS, 0))
    model = HistGradientBoostingClassifier(**SETTINGS).fit(TRAIN["a", "b"].to_numpy(), TRAIN["grade"].to_numpy())
    expected = np.clip(model.predict_proba(TEST["a", "b"].to_numpy()), 1e-7, 1)
    found = np.stack([answers[f"grade_probability_{rank}"] for rank in range(4)], 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_label_that_no_training_row_has_is_never_predicted() -> None:
    task = TASKS["multilabel"].refitted(TRAIN)
    found = boosted_output(task, batch(task, TRAIN), None, batch(task, TEST), SPECS, 0)
    assert float(torch.sigmoid(found[:, 2]).max()) < 1e-6


@pytest.mark.parametrize("name", ["count", "multilabel", "quantile"])
def test_validation_rows_stop_the_rounds(name: str) -> None:
    task = TASKS[name].refitted(TRAIN)
    valid = batch(task, frame(100, 2))
    stopped = boosted_output(task, batch(task, TRAIN), valid, batch(task, TEST), SPECS, 0)
    assert not torch.equal(stopped, boosted_output(task, batch(task, TRAIN), None, batch(task, TEST), SPECS, 0))


def test_survival_has_no_trees_and_says_so() -> None:
    task = Survival("life", time="days", event="died").refitted(TRAIN)
    with pytest.raises(UnsupportedError, match="no form for tasks of kind 'survival'"):
        boosted_output(task, batch(task, TRAIN), None, batch(task, TEST), SPECS, 0)
