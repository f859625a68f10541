"""Scores are scikit-learn's and torchmetrics' under the same weights; NaN where they have no meaning."""

from __future__ import annotations

import math
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from cotrain.core.fields import Field
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression
from cotrain.tasks.scores import calibration_error, error_of, higher_is_better

ROWS = 200
WEIGHTS = pytest.mark.parametrize("weighted", [False, True])


def setting(weighted: bool) -> tuple[Tensor, Tensor | None, np.ndarray]:
    """(which rows have a label, weights, weights of the labelled rows as scikit-learn takes them)."""
    held = torch.rand(ROWS) > 0.2
    weight = torch.rand(ROWS) * 3 if weighted else None
    return held, weight, (weight[held] if weight is not None else torch.ones(int(held.sum()))).numpy()


@WEIGHTS
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_binary_scores_are_those_of_scikit_learn(weighted: bool, threshold: float) -> None:
    held, weight, w = setting(weighted)
    labels, logits = (torch.rand(ROWS) > 0.6).float(), torch.randn(ROWS).round(decimals=1)
    found = Binary("y", threshold=threshold).metrics.score(logits[:, None], Field(labels, held), weight)
    truth, chance = labels[held].numpy(), torch.sigmoid(logits[held].double()).numpy()
    guess = chance >= threshold
    assert found == pytest.approx({
        "auc": sk.roc_auc_score(truth, chance, sample_weight=w),
        "average_precision": sk.average_precision_score(truth, chance, sample_weight=w),
        "accuracy": sk.accuracy_score(truth, guess, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, guess, sample_weight=w),
        "precision": sk.precision_score(truth, guess, sample_weight=w),
        "recall": sk.recall_score(truth, guess, sample_weight=w),
        "f1": sk.f1_score(truth, guess, sample_weight=w),
        "log_loss": sk.log_loss(truth, chance, sample_weight=w),
        "calibration_error": found["calibration_error"],
    }, rel=1e-6)  # fmt: skip


@WEIGHTS
def test_multiclass_scores_are_those_of_scikit_learn(weighted: bool) -> None:
    held, weight, w = setting(weighted)
    labels, logits = torch.randint(4, (ROWS,)), torch.randn(ROWS, 5)
    logits[torch.arange(ROWS), labels] += 1
    found = Multiclass("y", classes=5).metrics.score(logits, Field(labels, held), weight)
    truth, chance = labels[held].numpy(), torch.softmax(logits[held].double(), 1).numpy()
    guess = chance.argmax(1)
    seen = [0, 1, 2, 3]  # class 4 never occurs
    areas = [sk.roc_auc_score(truth == one, chance[:, one], sample_weight=w) for one in seen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is guessed and never occurs
        expected = {
            "accuracy": sk.accuracy_score(truth, guess, sample_weight=w),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, guess, sample_weight=w),
            "f1_macro": sk.f1_score(truth, guess, labels=seen, average="macro", sample_weight=w),
            "precision_macro": sk.precision_score(truth, guess, labels=seen, average="macro", sample_weight=w),
            "recall_macro": sk.recall_score(truth, guess, labels=seen, average="macro", sample_weight=w),
            "auc": np.mean(areas),
            "log_loss": sk.log_loss(truth, chance, labels=range(5), sample_weight=w),
            "calibration_error": found["calibration_error"],
        }
    assert found == pytest.approx(expected, rel=1e-6)


def test_calibration_errors_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

    labels, logits = (torch.rand(ROWS) > 0.6).float(), torch.randn(ROWS)
    found = Binary("y").metrics.score(logits[:, None], Field.dense(labels), None)["calibration_error"]
    assert found == pytest.approx(float(binary_calibration_error(torch.sigmoid(logits), labels.int())), abs=1e-5)
    labels, logits = torch.randint(4, (ROWS,)), torch.randn(ROWS, 4)
    found = Multiclass("y", classes=4).metrics.score(logits, Field.dense(labels), None)["calibration_error"]
    assert found == pytest.approx(float(multiclass_calibration_error(logits.softmax(1), labels, 4)), abs=1e-5)


def test_calibration_error_by_hand() -> None:
    # two bins are met: (3 rows of .8, weight 1, two hits) and (1 row of .3, weight 3, no hit)
    chance, hit = np.array([0.8, 0.8, 0.8, 0.3]), np.array([1.0, 1.0, 0.0, 0.0])
    assert calibration_error(chance, hit, np.array([1.0, 1, 1, 3])) == pytest.approx((abs(2.4 - 2) + abs(0.9 - 0)) / 6)
    assert calibration_error(np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.ones(2)) == 0
    assert math.isnan(calibration_error(chance[:0], hit[:0], np.ones(0)))


@WEIGHTS
def test_regression_scores_are_those_of_scikit_learn_in_the_targets_units(weighted: bool) -> None:
    task = Regression("y", columns=("a", "b")).refitted(pl.DataFrame({"a": [0.0, 10.0], "b": [100.0, 300.0]}))
    valid, weight = torch.rand(ROWS, 2) > 0.3, torch.rand(ROWS) if weighted else None
    values, output = torch.randn(ROWS, 2), torch.randn(ROWS, 2)
    found = task.metrics.score(output, Field(values, valid.any(1), None, valid), weight)
    expected = {}
    for column, (name, mean, scale) in enumerate((("a", 5, 5), ("b", 200, 100))):
        keep = valid[:, column]
        w = None if weight is None else weight[keep].numpy()
        truth, guess = (one[keep, column].double().numpy() * scale + mean for one in (values, output))
        base = np.full_like(truth, np.average(truth, weights=w))
        rmse = sk.root_mean_squared_error(truth, guess, sample_weight=w)
        expected |= {
            f"rmse/{name}": rmse,
            f"mae/{name}": sk.mean_absolute_error(truth, guess, sample_weight=w),
            f"r2/{name}": sk.r2_score(truth, guess, sample_weight=w),
            f"rrmse/{name}": rmse / sk.root_mean_squared_error(truth, base, sample_weight=w),
        }
    expected |= {name: np.mean([expected[f"{name}/{one}"] for one in "ab"]) for name in ("rmse", "mae", "r2", "rrmse")}
    assert found == pytest.approx(expected, rel=1e-5)
    assert task.metrics.primary == "rrmse"
    assert task.error(found) == found["rrmse"]


NONE = Field(torch.zeros(3), torch.zeros(3, dtype=torch.bool))


def test_what_has_no_meaning_is_nan() -> None:
    binary, many = Binary("y").metrics, Multiclass("y", classes=3).metrics
    nan_logit = torch.tensor([[0.0], [float("nan")], [1.0]])
    alike = Field.dense(torch.ones(3))
    assert all(math.isnan(one) for one in binary.score(torch.zeros(3, 1), NONE, None).values())
    assert all(
        math.isnan(one) for one in binary.score(nan_logit, Field.dense(torch.tensor([0.0, 1.0, 1.0])), None).values()
    )
    assert all(
        math.isnan(one)
        for one in many.score(torch.full((3, 3), float("nan")), Field.dense(torch.arange(3)), None).values()
    )
    assert all(
        math.isnan(one) for one in many.score(torch.zeros(3, 3), Field(torch.arange(3), NONE.present), None).values()
    )
    for metric, value in binary.score(torch.tensor([[1.0], [2.0], [-1.0]]), alike, None).items():
        assert math.isnan(value) == (metric in ("auc", "average_precision"))
    assert math.isnan(many.score(torch.zeros(3, 3), Field.dense(torch.ones(3, dtype=torch.int64)), None)["auc"])
    regression = Regression("y").metrics
    assert all(math.isnan(one) for one in regression.score(torch.zeros(3, 1), NONE, None).values())
    still = regression.score(torch.zeros(3, 1), alike, None)
    assert (still["rmse"], still["mae"]) == (1.0, 1.0)
    assert math.isnan(still["r2"])
    assert math.isnan(still["rrmse"])


def test_a_column_without_labels_is_left_out_of_the_average() -> None:
    valid = torch.tensor([[True, False]] * 3)
    scores = Regression("y", columns=("a", "b")).metrics.score(
        torch.zeros(3, 2), Field(torch.tensor([[0.0, 9], [2, 9], [4, 9]]), valid.any(1), None, valid), None
    )
    assert scores["mae"] == scores["mae/a"] == 2.0
    assert math.isnan(scores["mae/b"])


@pytest.mark.parametrize("size", [1e3, math.inf])
def test_very_sure_outputs_have_finite_scores(size: float) -> None:
    labels = torch.tensor([1.0, 0.0, 1.0])
    scores = Binary("y").metrics.score(size * torch.tensor([[1.0], [-1.0], [-1.0]]), Field.dense(labels), None)
    assert all(math.isfinite(one) for one in scores.values())
    assert scores["accuracy"] == pytest.approx(2 / 3)


def test_errors_are_lower_is_better() -> None:
    assert error_of("auc", 0.75) == 0.25
    assert error_of("rmse/height", 3.0) == 3.0
    assert higher_is_better("r2") is True
    assert higher_is_better("mae/a") is False
    assert Binary("y", metric="log_loss").error({"log_loss": 0.5}) == 0.5
    assert Multiclass("y", classes=3).error({"accuracy": 0.9}) == pytest.approx(0.1)
    for task in (Binary("y"), Multiclass("y", classes=3), Regression("y")):
        assert task.metrics.primary in task.metric_names


def test_predictions_say_label_and_chance() -> None:
    yes = Binary("y", threshold=0.7).refitted(pl.DataFrame({"y": ["no", "yes"]}))
    out = yes.decode(torch.logit(torch.tensor([[0.6], [0.8]])))
    assert out["y"] == ["no", "yes"]
    assert out["y_probability"].tolist() == pytest.approx([0.6, 0.8])
    assert Binary("y").decode(torch.tensor([[1.0]]))["y"].tolist() == [1]
    many = Multiclass("y").refitted(pl.DataFrame({"y": ["a", "b", "c"]}))
    out = many.decode(torch.log(torch.tensor([[0.2, 0.7, 0.1]])))
    assert out["y"] == ["b"]
    assert [float(out[f"y_probability{end}"][0]) for end in ("", "_a", "_b", "_c")] == pytest.approx(
        [0.7, 0.2, 0.7, 0.1]
    )
