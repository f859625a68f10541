"""Losses of counts, amounts, quantiles, ordered classes and survival times are those of scikit-learn, statsmodels and the literal formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.losses import (
    CumulativeLink,
    LogisticHazard,
    NegativeBinomialDeviance,
    Pinball,
    TweedieDeviance,
    gamma_deviance,
    log_squared_error,
    poisson_deviance,
)
from cotrain.losses.cumulative_link import cumulative_logits, outputs_of
from cotrain.losses.ordered import rising, unrisen
from cotrain.losses.pinball import quantiles

ROWS = 200


def made(zeros: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(outputs, targets (y, base), mu, weights), float64."""
    output = torch.randn(ROWS, 1, dtype=torch.float64)
    base = torch.rand(ROWS, dtype=torch.float64) + 0.5
    y = torch.poisson(base * 1.5) if zeros else torch.rand(ROWS, dtype=torch.float64) + 0.1
    return output, torch.stack([y, base], 1), base * output[:, 0].exp(), torch.rand(ROWS, dtype=torch.float64)


@pytest.mark.parametrize("power", [1.0, 1.2, 1.5, 1.9, 2.0])
def test_tweedie_deviances_are_those_of_scikit_learn(power: float) -> None:
    output, target, mu, weight = made(zeros=power < 2)
    total, count = TweedieDeviance(power)(output, Field.dense(target), weight)
    expected = sk.mean_tweedie_deviance(target[:, 0], mu, power=power, sample_weight=weight)
    assert float(total / count) == pytest.approx(expected, rel=1e-10)
    named = {1.0: poisson_deviance, 2.0: gamma_deviance}.get(power)
    if named is not None:
        assert named(output, Field.dense(target), weight)[0] == total


@pytest.mark.parametrize("dispersion", [0.3, 1.0, 4.0])
def test_the_negative_binomial_deviance_is_that_of_statsmodels(dispersion: float) -> None:
    from statsmodels.genmod.families import NegativeBinomial

    output, target, mu, weight = made(zeros=True)
    total, _ = NegativeBinomialDeviance(dispersion)(output, Field.dense(target), weight)
    expected = NegativeBinomial(alpha=dispersion).deviance(target[:, 0].numpy(), mu.numpy(), var_weights=weight.numpy())
    assert float(total) == pytest.approx(expected, rel=1e-8)


def test_a_negative_binomial_of_hardly_any_dispersion_is_poisson() -> None:
    output, target, _, weight = made(zeros=True)
    near, _ = NegativeBinomialDeviance(1e-7)(output, Field.dense(target), weight)
    assert float(near) == pytest.approx(float(poisson_deviance(output, Field.dense(target), weight)[0]), rel=1e-5)


def test_a_deviance_keeps_its_digits_near_the_perfect_answer() -> None:
    y = torch.tensor([1e6])
    total, _ = poisson_deviance(torch.tensor([[1e-3]]), Field.dense(torch.stack([y, y], 1)), None)
    assert float(total) == pytest.approx(
        1.000333, rel=1e-3
    )  # 2 y (e^u - 1 - u); the textbook's difference is lost in float32


def test_log_normal_is_squared_error_of_logs() -> None:
    output, target, mu, weight = made(zeros=False)
    total, count = log_squared_error(output, Field.dense(target), weight)
    expected = sk.mean_squared_error(target[:, 0].log(), mu.log(), sample_weight=weight)
    assert float(total / count) == pytest.approx(expected, rel=1e-10)


def test_pinball_losses_are_those_of_scikit_learn() -> None:
    levels = (0.05, 0.3, 0.6, 0.95)
    output, truth = torch.randn(ROWS, 4, dtype=torch.float64), torch.randn(ROWS, dtype=torch.float64)
    weight = torch.rand(ROWS, dtype=torch.float64)
    total, count = Pinball(levels)(output, Field.dense(truth), weight)
    guess = quantiles(output, levels)
    assert bool((guess.diff(dim=1) > 0).all())
    expected = np.mean([
        sk.mean_pinball_loss(truth, guess[:, place], alpha=level, sample_weight=weight) for place, level in enumerate(levels)
    ])  # fmt: skip
    assert float(total / count) == pytest.approx(expected, rel=1e-10)


def test_the_cumulative_link_is_the_likelihood_of_statsmodels_ordered_model() -> None:
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 2))
    score = x @ np.array([1.0, -0.5])
    label = np.digitize(score + random.logistic(size=ROWS), [-1.0, 0.3, 1.5])
    model = OrderedModel(label, x, distr="logit")
    found = model.fit(method="bfgs", disp=False)
    cuts = model.transform_threshold_params(found.params)[1:-1]
    logits = torch.from_numpy((x @ found.params[:2])[:, None] - cuts)
    output = outputs_of(logits)
    assert torch.allclose(cumulative_logits(output), logits)
    total, _ = CumulativeLink()(output, Field.dense(torch.from_numpy(label)), None)
    assert float(total) == pytest.approx(-found.llf, rel=1e-9)


def test_chances_of_ordered_classes_are_differences_of_sigmoids() -> None:
    output, base = torch.randn(ROWS, 3, dtype=torch.float64), (0.5, -1.0, 0.1)
    reached = torch.sigmoid(cumulative_logits(output, base))
    chance = torch.cat([1 - reached[:, :1], reached[:, :-1] - reached[:, 1:], reached[:, -1:]], 1)
    assert bool((chance > 0).all())
    for rank in range(4):
        total, _ = CumulativeLink(base)(output, Field.dense(torch.full((ROWS,), rank)), None)
        assert float(total) == pytest.approx(float(-chance[:, rank].log().sum()), rel=1e-9)


def test_hazards_are_the_literal_product() -> None:
    output, base = torch.randn(4, 3, dtype=torch.float64), (0.2, -0.4, 1.0)
    hazard = torch.sigmoid(output + torch.tensor(base))
    target = torch.tensor([[0.0, 1], [2, 1], [2, 0], [3, 0]])
    chance = [
        hazard[0, 0],
        (1 - hazard[1, 0]) * (1 - hazard[1, 1]) * hazard[1, 2],
        (1 - hazard[2, 0]) * (1 - hazard[2, 1]),
        (1 - hazard[3]).prod(),
    ]
    total, _ = LogisticHazard(base)(output, Field.dense(target), None)
    assert float(total) == pytest.approx(-float(torch.stack(chance).log().sum()), rel=1e-9)


@pytest.mark.parametrize("anchor", [0, 1, 3])
def test_rising_numbers_and_back(anchor: int) -> None:
    output = torch.randn(50, 4, dtype=torch.float64) * 5
    values = rising(output, anchor)
    assert bool((values.diff(dim=1) > 0).all())
    torch.testing.assert_close(values[:, anchor], output[:, anchor])
    torch.testing.assert_close(unrisen(values, anchor, least=0.0), output, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TweedieDeviance(0.5), r"power of a Tweedie deviance must lie in \[1, 2\], got 0.5"),
        (lambda: NegativeBinomialDeviance(0.0), "dispersion of a negative binomial must be a positive number, got 0.0"),
        (lambda: Pinball((0.9, 0.1)), "levels of quantiles must rise"),
        (lambda: Pinball(()), "levels of quantiles must rise"),
        (lambda: Pinball((0.5, 1.0)), "lie between 0 and 1"),
    ],
)  # fmt: skip
def test_settings_of_losses_are_checked_at_the_door(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
