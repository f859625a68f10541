"""Calibration: the fits of scikit-learn and SciPy, a rising function of the logits, and better log loss on the rows it was fitted on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from cotrain.core.fields import Field
from cotrain.tasks.binary import Binary
from cotrain.tasks.calibration import Isotonic, Platt, Temperature
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.settled import Settled, settle

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def rows(seed: int = 0, count: int = 400) -> Rows:
    """Logits that are three times too sure, their labels, weights."""
    random = np.random.default_rng(seed)
    logit = random.normal(size=count)
    truth = (random.random(count) < 1 / (1 + np.exp(-logit))).astype(float)
    return 3 * logit + 0.5, truth, random.random(count) + 0.1


def test_the_temperature_is_the_one_of_least_log_loss() -> None:
    logit, truth, weight = rows()

    def loss(log: float) -> float:
        z = logit / np.exp(log)
        return float(np.average(np.logaddexp(0, z) - truth * z, weights=weight))

    found = Temperature.fit(logit, truth, weight)
    best = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    assert np.log(found.temperature) == pytest.approx(best.x, abs=1e-5)
    assert 2 < found.temperature < 4


def test_the_temperature_of_several_classes_is_the_one_of_least_log_loss() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(300, 4)) * 2
    truth = np.array([random.choice(4, p=np.exp(z / 2) / np.exp(z / 2).sum()) for z in logits])

    def loss(log: float) -> float:
        return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits / np.exp(log)), torch.from_numpy(truth)))

    best = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-10})
    assert np.log(Temperature.fit(logits, truth, np.ones(300)).temperature) == pytest.approx(best.x, abs=1e-5)


def test_platt_scaling_is_that_of_scikit_learn() -> None:
    logit, truth, weight = rows()
    found = Platt.fit(logit, truth, weight)
    ready = _SigmoidCalibration().fit(logit, truth, weight)
    assert found is not None
    assert (found.slope, found.offset) == pytest.approx((-ready.a_, -ready.b_), rel=1e-3)


def test_the_isotonic_fit_is_that_of_scikit_learn_kept_away_from_0_and_1() -> None:
    logit, truth, weight = rows()
    found = Isotonic.fit(logit, truth, weight)
    ready = IsotonicRegression(y_min=1 / 402, y_max=401 / 402, out_of_bounds="clip").fit(
        logit, truth, sample_weight=weight
    )
    points = np.linspace(-12, 12, 97)
    chance = 1 / (1 + np.exp(-found(points)))
    np.testing.assert_allclose(chance, ready.predict(points), atol=1e-9)


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_it_never_reverses_two_answers_and_lowers_the_log_loss_of_its_rows(kind: str) -> None:
    logit, truth, weight = rows()
    found = settle("y", logit, truth, weight, calibrate=kind)
    assert found.calibration is not None
    line = found.calibration(np.linspace(-20, 20, 500))
    assert (np.diff(line) >= 0).all()

    def loss(z: np.ndarray) -> float:
        return float(np.average(np.logaddexp(0, z) - truth * z, weights=weight))

    assert loss(found.calibration(logit)) < loss(logit) - 0.05
    again = Settled.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found


@pytest.mark.parametrize("kind", ["temperature", "platt", "isotonic"])
def test_metrics_and_answers_use_it_and_auc_does_not(kind: str) -> None:
    logit, truth, weight = rows()
    output, target = torch.from_numpy(logit)[:, None], Field.dense(torch.from_numpy(truth))
    plain = Binary("y", calibrate=kind)  # type: ignore[arg-type]
    task = plain.settled(output, target, torch.from_numpy(weight))
    before, after = (one.metrics.score(output, target, torch.from_numpy(weight)) for one in (plain, task))
    assert after["auc"] == before["auc"]
    assert after["log_loss"] < before["log_loss"]
    assert after["calibration_error"] < before["calibration_error"]
    chance = task.decode(output)["y_probability"]
    own = -np.average(np.log(np.where(truth > 0.5, chance, 1 - chance)), weights=weight)
    assert after["log_loss"] == pytest.approx(own)
    torch.testing.assert_close(task.loss(output, target, None), plain.loss(output, target, None))


def test_several_classes_keep_their_order() -> None:
    output = torch.randn(200, 3) * 5
    target = Field.dense(torch.randint(3, (200,)))
    plain = Multiclass("y", classes=3, calibrate="temperature")
    task = plain.settled(output, target, None)
    before, after = plain.metrics.score(output, target, None), task.metrics.score(output, target, None)
    assert after["accuracy"] == before["accuracy"]
    assert after["log_loss"] < before["log_loss"]
    assert task.decode(output)["y"] == plain.decode(output)["y"]
    assert task.decode(output)["y_probability"].mean() < plain.decode(output)["y_probability"].mean()


def test_without_rows_or_with_one_class_nothing_is_fitted_and_it_is_said() -> None:
    none = np.zeros(0)
    for truth, said in ((none, "no label"), (np.ones(5), "one class only")):
        found = settle("y", np.zeros(len(truth)), truth, np.ones(len(truth)), calibrate="platt", aim="f1")
        assert (found.calibration, found.threshold) == (None, None)
        assert said in found.notes[0]
        assert "calibration and threshold" in found.notes[0]


def test_outputs_that_contradict_the_labels_are_not_turned_round() -> None:
    logit, truth, weight = rows()
    found = settle("y", -logit, truth, weight, calibrate="platt")
    assert found.calibration is None
    assert "contradict" in found.notes[0]


def test_rows_that_are_told_apart_without_a_mistake_give_a_finite_calibration() -> None:
    logit, truth = np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0])
    for kind in ("temperature", "platt", "isotonic"):
        found = settle("y", logit, truth, np.ones(4), calibrate=kind).calibration
        assert found is not None
        assert np.isfinite(found(np.array([-50.0, 0.0, 50.0]))).all()
