"""The joint event's loss: the slow formula of ESMM, stable at any logit, and its gradient reaches every factor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field
from cotrain.losses.joint_event import joint_cross_entropy, log_chances
from cotrain.tasks.conditional_codec import joint_target


def labels(rows: int = 12, parents: int = 1) -> Field:
    own, *given = (torch.rand(parents + 1, rows) > 0.5).double().unbind(0)
    return joint_target(torch.where(given[0] > 0, own, torch.nan), *given)


@pytest.mark.parametrize("parents", [1, 2, 3])
def test_it_is_the_log_likelihood_of_the_product_of_chances(parents: int) -> None:
    target, weight = labels(parents=parents), torch.rand(12, dtype=torch.float64)
    output = torch.randn(12, parents + 1, dtype=torch.float64)
    expected = 0.0
    for row in range(12):
        if target.present[row]:
            chance = 1.0
            for logit in output[row].tolist():
                chance *= 1 / (1 + 2.718281828459045**-logit)
            event = float(target.values[row, 0])
            expected -= float(weight[row]) * float(torch.tensor(chance if event else 1 - chance).double().log())
    total, count = joint_cross_entropy(output, target, weight)
    assert float(total) == pytest.approx(expected, rel=1e-6)
    assert float(count) == pytest.approx(float(weight[target.present].sum()))


def test_it_is_positive_and_zero_at_a_perfect_answer() -> None:
    target = labels()
    assert float(joint_cross_entropy(torch.randn(12, 2), target, None)[0]) > 0
    perfect = 400 * target.values - 200
    assert float(joint_cross_entropy(perfect, target, None)[0]) == pytest.approx(0, abs=1e-6)


def test_its_gradient_is_the_finite_difference_in_every_factor() -> None:
    target = labels(parents=2)
    point = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: joint_cross_entropy(z, target, None)[0], (point,))
    (gradient,) = torch.autograd.grad(joint_cross_entropy(point, target, None)[0], point)
    assert bool((gradient[target.present].abs() > 0).all())
    assert float(gradient[~target.present].abs().sum()) == 0


@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_far_out_logits_lose_no_digit(logit: float) -> None:
    point = torch.tensor([[logit, 30.0], [logit, -30.0], [30.0, logit], [logit, logit]], requires_grad=True)
    yes, no = log_chances(point)
    exact = torch.sigmoid(point.detach().double()).prod(1)
    torch.testing.assert_close(no.double().exp(), 1 - exact, rtol=1e-5, atol=1e-6)
    for event in (0.0, 1.0):
        target = Field.dense(torch.tensor([[event, 1.0]] * 4))
        total, _ = joint_cross_entropy(point, target, None)
        assert bool(total.isfinite())
        assert bool(torch.autograd.grad(total, point)[0].isfinite().all())
    assert bool(yes.isfinite().all())


def test_without_its_parents_a_task_learns_where_they_hold() -> None:
    target = labels()
    point = torch.randn(12, 1)
    total, count = joint_cross_entropy(point, target, None)
    here = target.values[:, 1] > 0
    ready = torch.nn.functional.binary_cross_entropy_with_logits(
        point[here, 0], target.values[here, 0], reduction="sum"
    )
    torch.testing.assert_close(total, ready)
    assert float(count) == float(target.present.sum())


@pytest.mark.parametrize(
    ("own", "parent", "event", "holds", "present"),
    [
        (1.0, 1.0, 1.0, 1.0, True),
        (0.0, 1.0, 0.0, 1.0, True),
        (None, 1.0, 0.0, 1.0, False),
        (1.0, 0.0, 0.0, 0.0, True),
        (None, 0.0, 0.0, 0.0, True),
        (1.0, None, 1.0, 1.0, True),
        (0.0, None, 0.0, 0.0, True),
        (None, None, 0.0, 0.0, False),
    ],
)
def test_every_pair_of_labels_means_what_is_documented(
    own: float | None, parent: float | None, event: float, holds: float, present: bool
) -> None:
    def one(value: float | None) -> Tensor:
        return torch.tensor([float("nan") if value is None else value])

    field = joint_target(one(own), one(parent))
    assert (field.values[0].tolist(), bool(field.present[0])) == ([event, holds], present)


def test_a_no_anywhere_up_the_chain_is_a_no_and_a_yes_implies_what_is_missing_above() -> None:
    nan = float("nan")
    own, cart, click = (torch.tensor(one) for one in ([1.0, nan, nan, 1.0], [nan, nan, 1.0, 1.0], [nan, 0.0, nan, 0.0]))
    field = joint_target(own, cart, click)
    assert field.values.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0]]
    assert field.present.tolist() == [True, True, False, True]


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="joint event, condition"):
        joint_cross_entropy(torch.zeros(3, 2), Field.dense(torch.zeros(3)), None)
