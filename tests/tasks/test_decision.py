"""The tuned threshold is the best of all cuts, found by trying every one of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st
from sklearn import metrics

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.tasks.binary import Binary
from cotrain.tasks.decision import Aim, best_threshold

COSTS = {"false_positive": 1.0, "false_negative": 5.0}


def reached(threshold: float, probability: np.ndarray, truth: np.ndarray, weight: np.ndarray, aim: Aim) -> float:
    """What a threshold reaches, by scikit-learn."""
    guess = probability >= threshold
    if isinstance(aim, str):
        score = {
            "f1": lambda *a, **k: metrics.f1_score(*a, zero_division=0.0, **k),
            "accuracy": metrics.accuracy_score,
            "balanced_accuracy": metrics.recall_score,
        }[aim]
        if aim == "balanced_accuracy":
            score = lambda *a, **k: metrics.recall_score(*a, average="macro", zero_division=0.0, **k)  # noqa: E731
        return float(score(truth, guess, sample_weight=weight))
    wrong = aim["false_positive"] * (guess & ~truth) + aim["false_negative"] * (~guess & truth)
    return -float(np.average(wrong, weights=weight))


@given(st.integers(0, 10_000), st.sampled_from(["f1", "accuracy", "balanced_accuracy", "cost"]))
@runs(max_examples=60, deadline=None)
def test_no_other_threshold_reaches_more(seed: int, name: str) -> None:
    random = np.random.default_rng(seed)
    aim: Aim = COSTS if name == "cost" else name  # type: ignore[assignment]
    probability = random.random(25).round(int(random.integers(1, 6))).clip(0.01, 0.99)  # with ties
    truth = random.random(25) < probability
    truth[:2] = [True, False]
    weight = random.random(25) + 0.1
    found, best = best_threshold(probability, truth, weight, aim)
    assert best == pytest.approx(reached(found, probability, truth, weight, aim))
    others = np.r_[0.001, np.unique(probability), 0.999]
    assert best >= max(reached(one, probability, truth, weight, aim) for one in others) - 1e-12


def test_answers_with_nothing_between_them_are_still_told_apart() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    found, best = best_threshold(np.array([low, high]), np.array([False, True]), np.ones(2), "accuracy")
    assert best == 1.0
    assert low < found <= high


def test_a_tuned_threshold_decides_answers_and_metrics_and_can_be_put_aside() -> None:
    logit = torch.tensor([[-4.0], [-3.0], [-2.0], [-1.0]])
    target = Field.dense(torch.tensor([0.0, 0.0, 1.0, 1.0]))
    plain = Binary("y", threshold="tuned")
    task = plain.settled(logit, target, None)
    assert plain.metrics.score(logit, target, None)["f1"] == 0.0
    assert task.metrics.score(logit, target, None)["f1"] == 1.0
    assert task.decode(logit)["y"].tolist() == [0, 0, 1, 1]
    assert task.deciding(0.9).decode(logit)["y"].tolist() == [0, 0, 0, 0]
    assert task.with_settled(None).decode(logit)["y"].tolist() == [0, 0, 0, 0]


def test_a_row_of_weight_zero_does_not_move_the_threshold() -> None:
    logit = torch.tensor([[-1.0], [0.0], [1.0], [9.0]])
    target = Field.dense(torch.tensor([0.0, 1.0, 1.0, 0.0]))
    task = Binary("y", threshold="tuned", tune_for="accuracy")
    with_it = task.settled(logit, target, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert with_it.cut == task.settled(logit[:3], target.select(torch.arange(3)), None).cut


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": "best"}, "or write tuned"),
        ({"threshold": True}, "between 0 and 1, got True"),
        ({"tune_for": "f1"}, "write threshold: tuned"),
        ({"threshold": "tuned", "tune_for": "acuracy"}, "did you mean 'accuracy'"),
        ({"threshold": "tuned", "tune_for": {"false_positive": 1}}, "both costs"),
        ({"threshold": "tuned", "tune_for": {"false_negativ": 1}}, "did you mean 'false_negative'"),
        ({"calibrate": "plat"}, "did you mean 'platt'"),
    ],
)
def test_settings_are_checked_at_the_door(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Binary("y", **settings)  # type: ignore[arg-type]
