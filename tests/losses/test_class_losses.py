"""Class weights, label smoothing and focal loss against figures from outside: torch, scikit-learn, SciPy, the paper's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.spec import Loss
from cotrain.losses import BinaryCrossEntropy, BinaryFocal, CrossEntropy, Focal, binary_cross_entropy, cross_entropy
from cotrain.losses.class_weights import balanced, named
from cotrain.losses.focal import focal_shares

F = torch.nn.functional


def test_balanced_weights_are_those_of_scikit_learn_and_have_mean_1() -> None:
    labels = np.repeat([0, 1, 2], [70, 25, 5])
    found = balanced([70, 25, 5])
    assert found == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert float(np.mean(np.array(found)[labels])) == pytest.approx(1)


def test_weights_by_label_keep_their_ratio_and_get_mean_1() -> None:
    low, high = named({"b": 9.0}, ["a", "b"], [90, 10], "task")
    assert high / low == pytest.approx(9)
    assert 0.9 * low + 0.1 * high == pytest.approx(1)


def test_a_balanced_logistic_regression_has_the_coefficients_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3))
    y = (x @ [1.0, -1.0, 0.5] + random.logistic(size=300) > 1.5).astype(int)
    loss = BinaryCrossEntropy(class_weights=balanced(np.bincount(y).tolist()))  # type: ignore[arg-type]
    line = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    inputs = torch.from_numpy(np.c_[x, np.ones(300)])
    descent = torch.optim.LBFGS([line], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def step() -> torch.Tensor:
        descent.zero_grad()
        total, count = loss((inputs @ line)[:, None], Field.dense(torch.from_numpy(y)), None)
        (total / count).backward()
        return total / count

    descent.step(step)
    ready = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(line.detach().numpy(), [*ready.coef_[0], ready.intercept_[0]], atol=1e-4)


def test_weighted_losses_are_those_of_torch() -> None:
    output, labels = torch.randn(20, 3), torch.randint(3, (20,))
    weights = (0.5, 1.0, 4.0)
    total, count = CrossEntropy(class_weights=weights)(output, Field.dense(labels), None)
    torch.testing.assert_close(total, F.cross_entropy(output, labels, torch.tensor(weights), reduction="sum"))
    assert float(count) == 20
    yes = (torch.rand(20) > 0.7).float()
    total, _ = BinaryCrossEntropy(class_weights=(1.0, 4.0))(output[:, :1], Field.dense(yes), None)
    ready = F.binary_cross_entropy_with_logits(output[:, 0], yes, pos_weight=torch.tensor(4.0), reduction="sum")
    torch.testing.assert_close(total, ready)


def test_smoothed_losses_are_those_of_torch_less_the_entropy_of_the_target() -> None:
    output, labels = torch.randn(20, 4), torch.randint(4, (20,))
    total, count = CrossEntropy(smoothing=0.1)(output, Field.dense(labels), None)
    truth = torch.distributions.Categorical(probs=torch.tensor([0.925, 0.025, 0.025, 0.025]))
    torch.testing.assert_close(total / count, F.cross_entropy(output, labels, label_smoothing=0.1) - truth.entropy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_focal_loss_without_focusing_is_cross_entropy(dtype: torch.dtype) -> None:
    output, labels = torch.randn(50, 3, dtype=dtype) * 10, torch.randint(3, (50,))
    yes = Field.dense((labels == 0).float())
    torch.testing.assert_close(
        Focal(gamma=0.0)(output, Field.dense(labels), None), cross_entropy(output, Field.dense(labels), None)
    )
    torch.testing.assert_close(
        BinaryFocal(gamma=0.0)(output[:, :1], yes, None), binary_cross_entropy(output[:, :1], yes, None)
    )


def test_focal_loss_is_the_formula_of_the_paper_and_two_classes_are_one_logit() -> None:
    output = torch.randn(50, 2, dtype=torch.float64)
    labels = torch.randint(2, (50,))
    chance = torch.softmax(output, 1).gather(1, labels[:, None])
    expected = (-((1 - chance) ** 2) * chance.log()).sum()
    torch.testing.assert_close(Focal()(output, Field.dense(labels), None)[0], expected)
    one = (output[:, 1] - output[:, 0])[:, None]
    torch.testing.assert_close(BinaryFocal()(one, Field.dense(labels), None)[0], expected)


@pytest.mark.parametrize("loss", [BinaryFocal(gamma=0.3), BinaryFocal(), BinaryCrossEntropy(smoothing=0.1)])
def test_far_out_logits_have_finite_losses_and_gradients(loss: Loss) -> None:
    point = torch.tensor([[-1e4], [1e4], [-90.0], [90.0]], requires_grad=True)
    for labels in (torch.zeros(4), torch.ones(4)):
        total, _ = loss(point, Field.dense(labels), None)
        assert bool(total.isfinite())
        assert bool(torch.autograd.grad(total, point)[0].isfinite().all())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_best_constant_of_focal_loss_is_the_one_scipy_finds(gamma: float) -> None:
    totals = torch.tensor([30.0, 5.0, 1.0], dtype=torch.float64)
    found = focal_shares(totals, gamma).numpy()

    def mean(z: np.ndarray) -> float:
        p = np.exp(z) / np.exp(z).sum()
        return float((totals.numpy() * (1 - p) ** gamma * -np.log(p)).sum())

    best = minimize(
        mean, np.log(found + 0.05), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}
    )
    np.testing.assert_allclose(found, np.exp(best.x) / np.exp(best.x).sum(), atol=1e-4)
    two = BinaryFocal(gamma=gamma).constant(Field.dense(torch.tensor([1.0, 0.0, 0.0, 0.0])), None)
    target = Field.dense(torch.tensor([1.0, 0.0, 0.0, 0.0]))
    line = minimize_scalar(
        lambda z: float(BinaryFocal(gamma=gamma)(torch.full((4, 1), z, dtype=torch.float64), target, None)[0]),
        bounds=(-8, 8), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert float(two) == pytest.approx(line.x, abs=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryCrossEntropy(smoothing=1.0), "at least 0 and below 1, got 1.0"),
        (lambda: CrossEntropy(class_weights=(1.0, 0.0)), "positive finite numbers"),
        (lambda: BinaryFocal(class_weights=(1.0, 1.0, 1.0)), "positive finite numbers, 2, got"),  # type: ignore[arg-type]
        (lambda: Focal(gamma=-1.0), "gamma must lie between 0 and 10, got -1.0"),
    ],
)
def test_settings_are_checked_at_the_door(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]
