"""Every loss: >= 0, 0 at a perfect answer, its gradient the finite difference, masks and weights by the one rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.core.spec import Loss
from cotrain.losses import (
    BinaryCrossEntropy,
    BinaryFocal,
    CrossEntropy,
    CumulativeLink,
    Focal,
    LogisticHazard,
    NegativeBinomialDeviance,
    Pinball,
    TweedieDeviance,
    absolute_error,
    binary_cross_entropy,
    cross_entropy,
    gamma_deviance,
    log_squared_error,
    poisson_deviance,
    squared_error,
)
from cotrain.losses.cumulative_link import outputs_of

ROWS = 9


def amounts(zeros: bool = True) -> Tensor:
    """Amounts beside what is expected of a row, [ROWS, 2]; the first three are 0 where that may be."""
    values = torch.rand(ROWS, 2) * 3 + 0.2
    values[:3, 0] *= 0 if zeros else 1
    return values


def log_of_share(values: Tensor) -> Tensor:
    """The output at which the expected amount is the amount; very small where that is 0."""
    return torch.where(values[:, 0] > 0, (values[:, 0] / values[:, 1]).log(), torch.tensor(-1e4))[:, None]


def lives() -> Tensor:
    """Whole intervals survived, and whether the event came in the next: of three, as the survival codec writes them."""
    survived = torch.arange(ROWS) % 4
    return torch.stack([survived, (survived < 3) & (torch.arange(ROWS) % 3 > 0), survived, survived], 1).float()


CASES: dict[str, tuple[Loss, Callable[[], Tensor], Callable[[], Tensor], Callable[[Tensor], Tensor]]] = {
    # name: loss, output, target values, the perfect output
    "squared": (squared_error, lambda: torch.randn(ROWS, 2), lambda: torch.randn(ROWS, 2), lambda t: t),
    "squared, one column": (
        squared_error,
        lambda: torch.randn(ROWS, 1),
        lambda: torch.randn(ROWS),
        lambda t: t[:, None],
    ),
    "absolute": (absolute_error, lambda: torch.randn(ROWS, 2), lambda: torch.randn(ROWS, 2), lambda t: t),
    "binary": (
        binary_cross_entropy,
        lambda: torch.randn(ROWS, 1),
        lambda: (torch.rand(ROWS) > 0.5).float(),
        lambda t: (200 * t - 100)[:, None],
    ),
    "classes": (
        cross_entropy,
        lambda: torch.randn(ROWS, 4),
        lambda: torch.randint(4, (ROWS,)),
        lambda t: 200.0 * torch.nn.functional.one_hot(t, 4),
    ),
    "several labels": (
        binary_cross_entropy,
        lambda: torch.randn(ROWS, 3),
        lambda: (torch.rand(ROWS, 3) > 0.5).float(),
        lambda t: 200 * t - 100,
    ),
    "ordered classes": (
        CumulativeLink((0.3, -1.0, 0.2)),
        lambda: torch.randn(ROWS, 3),
        lambda: torch.randint(4, (ROWS,)),
        lambda t: outputs_of(torch.where(torch.arange(3) < t[:, None], 200.0, -200.0)),
    ),
    "poisson": (poisson_deviance, lambda: torch.randn(ROWS, 1), amounts, log_of_share),
    "poisson, amounts alone": (
        poisson_deviance,
        lambda: torch.randn(ROWS, 1),
        lambda: amounts()[:, 0],
        lambda t: log_of_share(torch.stack([t, torch.ones(ROWS)], 1)),
    ),
    "negative binomial": (NegativeBinomialDeviance(0.7), lambda: torch.randn(ROWS, 1), amounts, log_of_share),
    "tweedie": (TweedieDeviance(1.3), lambda: torch.randn(ROWS, 1), amounts, log_of_share),
    "gamma": (gamma_deviance, lambda: torch.randn(ROWS, 1), lambda: amounts(zeros=False), log_of_share),
    "log-normal": (log_squared_error, lambda: torch.randn(ROWS, 1), lambda: amounts(zeros=False), log_of_share),
    "quantiles": (
        Pinball((0.1, 0.4, 0.9), (0.5, 0.1, -0.3)),
        lambda: torch.randn(ROWS, 3),
        lambda: torch.randn(ROWS, 1),
        lambda t: torch.cat([torch.full((ROWS, 1), -100.0), t - 0.1, torch.full((ROWS, 1), -100.0)], 1),
    ),
    "hazards": (
        LogisticHazard((-1.0, 0.0, 2.0)),
        lambda: torch.randn(ROWS, 3),
        lives,
        lambda t: 200.0 * ((torch.arange(3) == t[:, :1]) & (t[:, 1:2] > 0)) - 100.0,
    ),
    "binary, smoothed and weighted": (
        BinaryCrossEntropy(smoothing=0.1, class_weights=(0.6, 3.0)),
        lambda: torch.randn(ROWS, 1),
        lambda: (torch.rand(ROWS) > 0.5).float(),
        lambda t: torch.logit(0.9 * t + 0.05)[:, None],
    ),
    "binary, a pair of weights a column": (
        BinaryCrossEntropy(class_weights=((0.6, 1.0), (3.0, 0.2))),
        lambda: torch.randn(ROWS, 2),
        lambda: (torch.rand(ROWS, 2) > 0.5).float(),
        lambda t: 200 * t - 100,
    ),
    "binary, focal": (
        BinaryFocal(gamma=2.0, class_weights=(0.25, 0.75)),
        lambda: torch.randn(ROWS, 1),
        lambda: (torch.rand(ROWS) > 0.5).float(),
        lambda t: (200 * t - 100)[:, None],
    ),
    "classes, smoothed and weighted": (
        CrossEntropy(smoothing=0.2, class_weights=(0.5, 1.0, 2.0, 4.0)),
        lambda: torch.randn(ROWS, 4),
        lambda: torch.randint(4, (ROWS,)),
        lambda t: (0.8 * torch.nn.functional.one_hot(t, 4) + 0.05).log(),
    ),
    "classes, focal": (
        Focal(gamma=1.5, class_weights=(0.5, 1.0, 2.0, 4.0)),
        lambda: torch.randn(ROWS, 4),
        lambda: torch.randint(4, (ROWS,)),
        lambda t: 200.0 * torch.nn.functional.one_hot(t, 4),
    ),
}
READY = ("squared", "squared, one column", "absolute", "binary", "classes")
EACH = pytest.mark.parametrize("name", CASES)


@EACH
def test_it_is_positive_and_zero_at_a_perfect_answer(name: str) -> None:
    loss, output, values, perfect = CASES[name]
    target = Field.dense(values())
    assert float(loss(output(), target, None)[0]) > 0
    assert float(loss(perfect(target.values), target, None)[0]) == pytest.approx(0, abs=1e-6)


@EACH
def test_its_gradient_is_the_finite_difference(name: str) -> None:
    loss, output, values, _ = CASES[name]
    held = torch.rand(ROWS) > 0.3
    target = Field(values(), held)
    weight = torch.rand(ROWS, dtype=torch.float64)
    point = output().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: loss(y, target, weight)[0], (point,))
    (gradient,) = torch.autograd.grad(loss(point, target, weight)[0], point)
    assert float(gradient[~held].abs().max()) == 0.0


@EACH
def test_sum_and_count_are_those_of_the_rows_one_by_one(name: str) -> None:
    loss, output, values, _ = CASES[name]
    target, weight, point = Field(values(), torch.rand(ROWS) > 0.3), torch.rand(ROWS) * 3, output()
    total, count = loss(point, target, weight)
    parts = [
        (float(weight[row]), float(loss(point[row : row + 1], Field.dense(target.values[row : row + 1]), None)[0]))
        for row in range(ROWS)
        if target.present[row]
    ]
    assert float(total) == pytest.approx(sum(w * one for w, one in parts), rel=1e-5)
    assert float(count) == pytest.approx(sum(w for w, _ in parts), rel=1e-5)


@EACH
def test_outputs_in_half_precision_are_counted_in_single(name: str) -> None:
    loss, output, values, _ = CASES[name]
    point, target = output(), Field.dense(values())
    total, _ = loss(point.bfloat16(), target, None)
    assert total.dtype == torch.float32
    assert float(total) == pytest.approx(float(loss(point, target, None)[0]), rel=0.05)


@pytest.mark.parametrize("name", READY)
def test_ready_made_losses_of_torch_agree(name: str) -> None:
    loss, output, values, _ = CASES[name]
    point, truth = output(), values()
    ready = {
        squared_error: torch.nn.functional.mse_loss,
        absolute_error: torch.nn.functional.l1_loss,
        binary_cross_entropy: torch.nn.functional.binary_cross_entropy_with_logits,
        cross_entropy: torch.nn.functional.cross_entropy,
    }[loss]  # type: ignore[index]
    total, count = loss(point, Field.dense(truth), None)
    flat = point if loss is cross_entropy else point.reshape(truth.shape)
    torch.testing.assert_close(total / count, ready(flat, truth))


@pytest.mark.parametrize("loss", [squared_error, absolute_error, binary_cross_entropy])
def test_whole_number_and_boolean_targets_are_numbers_and_keep_the_gradient(loss: Loss) -> None:
    point = torch.tensor([[0.3], [0.6]], requires_grad=True)
    for values in (torch.tensor([1, 0]), torch.tensor([True, False])):
        total, _ = loss(point, Field.dense(values), None)
        torch.testing.assert_close(total, loss(point, Field.dense(values.float()), None)[0])
        assert float(torch.autograd.grad(total, point)[0].abs().min()) > 0


def test_missing_cells_count_one_by_one() -> None:
    valid = torch.tensor([[True, False], [True, True]])
    total, count = squared_error(
        torch.tensor([[1.0, 9.0], [2.0, 3.0]]), Field.dense(torch.zeros(2, 2), valid), torch.tensor([1.0, 2.0])
    )
    assert (float(total), float(count)) == (1 + 2 * (4 + 9), 5.0)


def test_class_numbers_may_stand_in_a_column_or_be_floats() -> None:
    point, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    expected = cross_entropy(point, Field.dense(labels), None)
    for values in (labels[:, None], labels.float()):
        assert cross_entropy(point, Field.dense(values), None) == expected


@pytest.mark.parametrize(
    ("loss", "output", "values", "message"),
    [
        (squared_error, torch.zeros(3, 2), torch.zeros(3, 1), "expected one output for each"),
        (squared_error, torch.zeros(2, 3), torch.zeros(3, 2), "expected one output for each"),
        (binary_cross_entropy, torch.zeros(4, 1), torch.zeros(3), "expected one output for each"),
        (cross_entropy, torch.zeros(3), torch.zeros(3, dtype=torch.int64), "expected outputs"),
        (cross_entropy, torch.zeros(3, 2), torch.tensor([0, 1, 2]), "class numbers from 0 to 1, got 2"),
        (cross_entropy, torch.zeros(3, 2), torch.tensor([0, -1, 1]), "class numbers from 0 to 1, got -1"),
        (CumulativeLink(), torch.zeros(3), torch.tensor([0, 1, 1]), "expected outputs .N, classes - 1."),
        (CumulativeLink(), torch.zeros(3, 1), torch.tensor([0, 1, 2]), "class numbers from 0 to 1, got 0 to 2"),
        (poisson_deviance, torch.zeros(3, 2), torch.zeros(3, 2), "one output for each value"),
        (poisson_deviance, torch.zeros(3, 1), torch.zeros(3, 3), "targets of .amount. or .amount, base."),
        (Pinball((0.5,)), torch.zeros(3, 2), torch.zeros(3, 1), "expected outputs .N, 1."),
        (LogisticHazard(), torch.zeros(3, 2), torch.zeros(3, 1), "targets .N, 2. of .intervals survived, event."),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shape(loss: Loss, output: Tensor, values: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        loss(output, Field.dense(values), None)


@pytest.mark.parametrize(
    "name",
    ["ordered classes", "quantiles", "hazards", "poisson", "tweedie", "gamma", "log-normal", "negative binomial"],
)
@pytest.mark.parametrize("size", [50.0, 1e4])
def test_outputs_of_any_size_have_a_finite_loss_and_gradient(name: str, size: float) -> None:
    loss, output, values, _ = CASES[name]
    point = (size * output()).requires_grad_()
    total, _ = loss(point, Field.dense(values()), None)
    (gradient,) = torch.autograd.grad(total, point)
    assert bool(total.isfinite())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize(
    "name",
    ["poisson", "gamma", "log-normal", "tweedie", "negative binomial", "quantiles", "hazards", "ordered classes"],
)
def test_what_stands_where_no_label_is_reaches_neither_loss_nor_gradient(name: str) -> None:
    loss, output, values, _ = CASES[name]
    held, truth, point = torch.arange(ROWS) % 2 == 0, values(), output().requires_grad_()
    filler = torch.tensor(float("nan")) if truth.is_floating_point() else torch.tensor(-100)
    spoilt = torch.where(held.reshape(-1, *([1] * (truth.dim() - 1))), truth, filler)
    found, count = loss(point, Field(spoilt, held), None)
    expected, _ = loss(point[held], Field.dense(truth[held]), None)
    torch.testing.assert_close(found, expected)
    assert float(count) == 5.0
    assert bool(torch.autograd.grad(found, point)[0].isfinite().all())
