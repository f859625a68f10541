"""Scores of counts, amounts, quantiles, ordered classes, label sets and survival times are those of other libraries under the same weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from cotrain.core.fields import Field
from cotrain.core.spec import Task
from cotrain.losses import gamma_deviance, log_squared_error
from cotrain.losses.cumulative_link import CumulativeLink, cumulative_logits
from cotrain.tasks.count import Count
from cotrain.tasks.deviances import AmountMetrics
from cotrain.tasks.multilabel import Multilabel
from cotrain.tasks.ordinal import Ordinal
from cotrain.tasks.positive import Positive
from cotrain.tasks.quantile import Quantile
from cotrain.tasks.survival import Survival
from cotrain.tasks.survival_scores import BLOCK, censoring_curve, concordance, integrated_brier
from cotrain.tasks.survival_times import Curves, SurvivalCodec

ROWS = 200
WEIGHTS = pytest.mark.parametrize("weighted", [False, True])


def setting(weighted: bool) -> tuple[Tensor, Tensor | None, np.ndarray]:
    """(which rows have a label, weights, weights of the labelled rows as scikit-learn takes them)."""
    held = torch.rand(ROWS) > 0.2
    weight = torch.rand(ROWS) * 3 if weighted else None
    return held, weight, (weight[held] if weight is not None else torch.ones(int(held.sum()))).numpy()


@WEIGHTS
@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_scores_of_amounts_are_those_of_scikit_learn(weighted: bool, power: float) -> None:
    held, weight, w = setting(weighted)
    y = torch.randint(5, (ROWS,)).double() if power < 2 else torch.rand(ROWS, dtype=torch.float64) + 0.1
    output = torch.randn(ROWS, 1, dtype=torch.float64)
    target = Field(torch.stack([y, torch.full((ROWS,), 1.7)], 1), held)
    found = AmountMetrics(power=power).score(output, target, weight)
    truth, mu = y[held].numpy(), 1.7 * output[held, 0].exp().numpy()
    assert found == pytest.approx({
        "d2": sk.d2_tweedie_score(truth, mu, power=power, sample_weight=w),
        "deviance": sk.mean_tweedie_deviance(truth, mu, power=power, sample_weight=w),
        "rmse": sk.root_mean_squared_error(truth, mu, sample_weight=w),
        "mae": sk.mean_absolute_error(truth, mu, sample_weight=w),
        "rmsle": sk.root_mean_squared_log_error(truth, mu, sample_weight=w),
        "mean_ratio": np.average(mu, weights=w) / np.average(truth, weights=w),
    }, rel=1e-6)  # fmt: skip


@WEIGHTS
def test_a_rate_is_scored_against_the_best_constant_rate_of_statsmodels(weighted: bool) -> None:
    import statsmodels.api as sm

    weight = torch.rand(ROWS, dtype=torch.float64) if weighted else torch.ones(ROWS, dtype=torch.float64)
    years, x = torch.rand(ROWS, dtype=torch.float64) + 0.2, torch.randn(ROWS, dtype=torch.float64)
    n = torch.poisson(years * (0.4 + x).exp())
    model = sm.GLM(
        n.numpy(), sm.add_constant(x.numpy()), sm.families.Poisson(), exposure=years.numpy(), var_weights=weight.numpy()
    ).fit()
    output = torch.from_numpy(model.params[0] + model.params[1] * x.numpy())[:, None]
    found = Count("n", exposure="years").metrics.score(output, Field.dense(torch.stack([n, years], 1)), weight)
    assert found["deviance"] == pytest.approx(model.deviance / float(weight.sum()), rel=1e-6)
    assert found["d2"] == pytest.approx(1 - model.deviance / model.null_deviance, rel=1e-6)


@WEIGHTS
def test_scores_of_ordered_classes_are_those_of_scikit_learn(weighted: bool) -> None:
    held, weight, w = setting(weighted)
    output, labels = torch.randn(ROWS, 3), torch.randint(4, (ROWS,))
    output[:, 0] += labels
    found = Ordinal("y", classes=4).metrics.score(output, Field(labels, held), weight)
    logits = cumulative_logits(output[held].double()).numpy()
    truth, guess = labels[held].numpy(), (logits >= 0).sum(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is never guessed
        assert found == pytest.approx({
            "kappa": sk.cohen_kappa_score(truth, guess, weights="quadratic", sample_weight=w),
            "accuracy": sk.accuracy_score(truth, guess, sample_weight=w),
            "mae": sk.mean_absolute_error(truth, guess, sample_weight=w),
            "f1_macro": sk.f1_score(truth, guess, average="macro", sample_weight=w),
            "auc": np.mean([sk.roc_auc_score(truth > cut, logits[:, cut], sample_weight=w) for cut in range(3)]),
            "log_loss": float(torch.stack([CumulativeLink()(output[[row]].double(), Field.dense(labels[[row]]), None)[0]
                                           for row in held.nonzero().squeeze(1).tolist()]).numpy() @ w / w.sum()),
        }, rel=1e-6)  # fmt: skip


@WEIGHTS
def test_scores_of_quantiles_are_those_of_scikit_learn_in_the_targets_units(weighted: bool) -> None:
    task = Quantile("y", levels=(0.1, 0.5, 0.8)).refitted(pl.DataFrame({"y": [0.0, 100.0, 200.0]}))
    held, weight, w = setting(weighted)
    values, output = torch.randn(ROWS, 1), torch.randn(ROWS, 3)
    found = task.metrics.score(output, Field(values, held), weight)
    truth, guess = task.codec.numbers.decoded(values)[held, 0].numpy(), task.codec.decoded(output)[held].numpy()
    inside = (truth >= guess[:, 0]) & (truth <= guess[:, 2])
    assert found == pytest.approx({
        "pinball": np.mean([sk.mean_pinball_loss(truth, guess[:, one], alpha=level, sample_weight=w)
                            for one, level in enumerate((0.1, 0.5, 0.8))]),
        "coverage": np.average(inside, weights=w),
        "coverage_error": abs(np.average(inside, weights=w) - 0.7),
        "width": np.average(guess[:, 2] - guess[:, 0], weights=w),
        "mae": sk.mean_absolute_error(truth, guess[:, 1], sample_weight=w),
    }, rel=1e-6)  # fmt: skip


@WEIGHTS
def test_scores_of_label_sets_are_those_of_scikit_learn(weighted: bool) -> None:
    held, weight, w = setting(weighted)
    labels, logits = (torch.rand(ROWS, 3) > torch.tensor([0.3, 0.6, 0.9])).float(), torch.randn(ROWS, 3)
    found = Multilabel("y", columns=("a", "b", "c"), threshold=0.4).metrics.score(logits, Field(labels, held), weight)
    truth, chance = labels[held].numpy(), torch.sigmoid(logits[held].double()).numpy()
    guess = (chance >= 0.4).astype(float)
    expected = {
        "auc": sk.roc_auc_score(truth, chance, average="macro", sample_weight=w),
        "average_precision": sk.average_precision_score(truth, chance, average="macro", sample_weight=w),
        "f1_micro": sk.f1_score(truth, guess, average="micro", sample_weight=w),
        "f1_macro": sk.f1_score(truth, guess, average="macro", sample_weight=w),
        "subset_accuracy": sk.accuracy_score(truth, guess, sample_weight=w),
        "hamming_loss": sk.hamming_loss(truth, guess, sample_weight=w),
        "log_loss": np.mean([sk.log_loss(truth[:, one], chance[:, one], sample_weight=w) for one in range(3)]),
    }
    for place, name in enumerate("abc"):
        expected[f"auc/{name}"] = sk.roc_auc_score(truth[:, place], chance[:, place], sample_weight=w)
        expected[f"average_precision/{name}"] = sk.average_precision_score(
            truth[:, place], chance[:, place], sample_weight=w
        )
        expected[f"f1/{name}"] = sk.f1_score(truth[:, place], guess[:, place], sample_weight=w)
    assert found == pytest.approx(expected, rel=1e-6)


def test_missing_cells_of_label_sets_leave_every_score() -> None:
    valid = torch.rand(ROWS, 2) > 0.4
    labels, logits = (torch.rand(ROWS, 2) > 0.5).float(), torch.randn(ROWS, 2)
    task = Multilabel("y", columns=("a", "b"))
    found = task.metrics.score(logits, Field(labels, valid.any(1), None, valid), None)
    for place, name in enumerate("ab"):
        keep = valid[:, place]
        assert found[f"auc/{name}"] == pytest.approx(sk.roc_auc_score(labels[keep, place], logits[keep, place]))
    right = ((labels > 0.5) == (logits >= 0)) | ~valid
    assert found["subset_accuracy"] == pytest.approx(float(right.all(1)[valid.any(1)].double().mean()))
    assert found["hamming_loss"] == pytest.approx(float((~right).sum() / valid.sum()))


def test_a_label_that_never_occurs_has_no_area_and_leaves_the_mean() -> None:
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    logits = torch.tensor([[2.0, -1.0], [1.0, -2.0], [3.0, -3.0]])
    found = Multilabel("y", columns=("a", "b")).metrics.score(logits, Field.dense(labels), None)
    assert found["auc"] == found["auc/a"] == 1.0
    assert math.isnan(found["auc/b"])
    assert math.isnan(found["f1/b"])


# ---------------------------------------------------------------------------------------------------------------- survival


@pytest.fixture(scope="module")
def lifelines_concordance() -> Iterator[object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of matplotlib's, where it is imported first
        from lifelines.utils import concordance_index
    return concordance_index


@pytest.mark.parametrize("rows", [3, 40, 3 * BLOCK + 7])
@pytest.mark.parametrize("ties", [False, True])
def test_concordance_is_that_of_lifelines(rows: int, ties: bool, lifelines_concordance) -> None:
    random = np.random.default_rng(rows)
    time, predicted = random.exponential(size=rows), random.normal(size=rows)
    event = np.r_[1.0, 1.0, (random.random(rows - 2) > 0.4)]
    if ties:
        time, predicted = np.ceil(time * 4), predicted.round(1)
    assert concordance(time, event, predicted) == pytest.approx(
        lifelines_concordance(time, predicted, event), rel=1e-12
    )


def test_a_weight_in_the_concordance_is_so_many_rows(lifelines_concordance) -> None:
    random = np.random.default_rng(0)
    time, predicted = random.integers(1, 9, 60).astype(float), random.normal(size=60).round(1)
    event, weight = (random.random(60) > 0.4).astype(float), random.integers(0, 4, 60)
    index = np.repeat(np.arange(60), weight)
    expected = lifelines_concordance(time[index], predicted[index], event[index])
    assert concordance(time, event, predicted, weight.astype(float)) == pytest.approx(expected, rel=1e-12)


def test_without_a_comparable_pair_there_is_no_concordance() -> None:
    assert math.isnan(concordance(np.array([1.0, 2.0]), np.array([0.0, 0.0]), np.array([1.0, 2.0])))
    assert math.isnan(concordance(np.array([1.0, 1.0]), np.array([1.0, 1.0]), np.array([1.0, 2.0])))
    assert math.isnan(concordance(np.zeros(0), np.zeros(0), np.zeros(0)))


def test_the_censoring_curve_is_kaplan_and_meiers_of_lifelines() -> None:
    from lifelines import KaplanMeierFitter

    random = np.random.default_rng(0)
    time = random.exponential(size=80)  # no ties: which of an event and a censoring at one time comes first is a choice
    event = (random.random(80) > 0.5).astype(float)
    times, curve = censoring_curve(time, event, np.ones(80))
    found = KaplanMeierFitter().fit(time, 1 - event)
    assert curve == pytest.approx(found.survival_function_at_times(times).to_numpy(), rel=1e-9, abs=1e-12)


def test_the_brier_score_is_the_literal_sum_over_rows() -> None:
    random = np.random.default_rng(1)
    time, event, weight = random.integers(1, 12, 50).astype(float), (random.random(50) > 0.4) * 1.0, random.random(50)
    rate = random.random(50)
    times, curve = censoring_curve(time, event, weight)

    def lost_later(t: float, *, before: bool) -> float:
        passed = times < t if before else times <= t
        return float(curve[passed][-1]) if passed.any() else 1.0

    end = min(time[event > 0].max(), 9.5)
    grid, scores = np.linspace(0, end, 101), []
    for t in grid:
        total = 0.0
        for row in range(50):
            s = math.exp(-rate[row] * t)
            if time[row] <= t and event[row]:
                total += weight[row] * s**2 / lost_later(time[row], before=True)
            elif time[row] > t:
                total += weight[row] * (1 - s) ** 2 / lost_later(t, before=False)
        scores.append(total / weight.sum())
    expected = np.trapezoid(scores, grid) / end
    found = integrated_brier(time, event, lambda t: np.exp(-rate[:, None] * t), weight, 9.5)
    assert found == pytest.approx(expected, rel=1e-9)


def test_without_censoring_the_brier_score_is_the_plain_one_and_a_prophet_has_none() -> None:
    time = np.array([1.0, 2.0, 4.0])
    ones = np.ones(3)
    perfect = integrated_brier(time, ones, lambda t: (time[:, None] > t).astype(float), ones)
    assert perfect == 0.0
    half = integrated_brier(time, ones, lambda t: np.full((3, len(t)), 0.5), ones)
    assert half == pytest.approx(0.25)


def test_curves_from_hazards() -> None:
    codec = SurvivalCodec("y", ("t", "e"), edges=(1.0, 3.0))
    hazards = torch.tensor([[0.5, 0.5], [0.2, 0.1]], dtype=torch.float64)
    curves = Curves.of(torch.logit(hazards), codec)
    found = curves.at(np.array([0.0, 0.5, 1.0, 2.0, 3.0, 9.0]))
    assert found[0] == pytest.approx([1, 0.5**0.5, 0.5, 0.5**1.5, 0.25, 0.25])
    assert found[1] == pytest.approx([1, 0.8**0.5, 0.8, 0.8 * 0.9**0.5, 0.72, 0.72])
    assert curves.median() == pytest.approx([1.0, math.nan], nan_ok=True)
    grid = np.linspace(0, 3, 30001)
    assert curves.mean() == pytest.approx(np.trapezoid(curves.at(grid), grid, axis=1), rel=1e-6)


# ------------------------------------------------------------------------------------------------------- what has no meaning

LIFE = pl.DataFrame({"t": [1.0, 2.0, 3.0], "e": [1, 1, 0]})
KINDS: list[tuple[Task, Tensor]] = [
    (Count("y"), torch.ones(3, 2)),
    (Positive("y"), torch.ones(3, 2)),
    (Positive("y", loss=gamma_deviance), torch.ones(3, 2)),
    (Positive("y", loss=log_squared_error), torch.ones(3, 2)),
    (Ordinal("y", classes=3), torch.tensor([0, 1, 2])),
    (Quantile("y"), torch.zeros(3, 1)),
    (Multilabel("y", columns=("a", "b")), torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])),
    (Survival("y", time="t", event="e").refitted(LIFE), torch.tensor([[0.0, 1, 1, 1], [1, 1, 2, 1], [2, 0, 3, 0]])),
]


@pytest.mark.parametrize(("task", "values"), KINDS, ids=lambda one: getattr(one, "kind", ""))
def test_without_a_label_or_with_outputs_that_are_no_numbers_all_scores_are_nan(task: Task, values: Tensor) -> None:
    output = torch.zeros(3, task.outputs)
    names = set(task.metrics.score(output, Field.dense(values), None))
    assert task.metrics.primary in names
    for field, answer in (
        (Field(values, torch.zeros(3, dtype=torch.bool)), output),
        (Field.dense(values), output * math.nan),
    ):
        found = task.metrics.score(answer, field, None)
        assert set(found) == names
        assert all(math.isnan(one) for one in found.values())


@pytest.mark.parametrize(("task", "values"), KINDS, ids=lambda one: getattr(one, "kind", ""))
def test_very_sure_outputs_have_scores(task: Task, values: Tensor) -> None:
    for size in (1e4, -1e4):
        found = task.metrics.score(torch.full((3, task.outputs), size), Field.dense(values), None)
        assert not math.isinf(found[task.metrics.primary])
        assert not math.isinf(task.error(found))
