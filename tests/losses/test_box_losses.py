"""Losses of boxes: at least 0, 0 at the same box, numbers worked out by hand, gradients by finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field
from cotrain.losses import L1GIoU, box_l1, box_squared, ciou, giou
from cotrain.losses.boxes import centre_of, corners_of, output_of, overlap, predicted
from cotrain.losses.giou import giou_distance

LOSSES: dict[str, Any] = {"l1": box_l1, "squared": box_squared, "giou": giou, "ciou": ciou, "l1_giou": L1GIoU()}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))


def boxes(rows: int) -> Tensor:
    """Random boxes inside the picture, [N, 4] corners in float64, none so thin that its output would be far."""
    one, other = torch.rand(2, rows, 2, dtype=torch.float64) * 0.99
    return torch.cat([torch.minimum(one, other), torch.maximum(one, other) + 0.005], 1)


def of(one: Tensor | list[float]) -> Tensor:
    """The output that stands for corners."""
    return output_of(centre_of(torch.as_tensor(one, dtype=torch.float64).reshape(-1, 4)))


@EACH
def test_it_is_never_below_0_and_0_at_the_same_box(loss: Any) -> None:
    truth = boxes(200)
    total, count = loss(of(truth), Field.dense(truth), None)
    assert float(total) == pytest.approx(0, abs=1e-6)
    assert float(count) == 200
    for dtype in (torch.float32, torch.float64):
        guess = (torch.randn(200, 4) * 3).to(dtype)
        each = [float(loss(guess[i : i + 1], Field.dense(truth[i : i + 1].to(dtype)), None)[0]) for i in range(200)]
        assert min(each) > 0


def test_distances_and_overlaps_are_those_worked_out_by_hand() -> None:
    # predicted: the lower right quarter, cx .75 cy .75 w .5 h .5; true: cx .5 cy .625 w .5 h .25 (x .25 to .75, y .5 to .75)
    guess, truth = of([0.5, 0.5, 1.0, 1.0]), Field.dense(torch.tensor([[0.25, 0.5, 0.75, 0.75]], dtype=torch.float64))
    # intersection .25 x .25, union .25 + .125 - .0625, hull .75 x .5
    iou, union, hull = 0.0625 / 0.3125, 0.3125, 0.375
    shape = 4 / math.pi**2 * (math.atan(0.5 / 0.25) - math.atan(1.0)) ** 2
    expected = {
        "l1": (0.25 + 0.125 + 0 + 0.25) / 4,
        "squared": (0.0625 + 0.015625 + 0 + 0.0625) / 4,
        "giou": 1 - (iou - (hull - union) / hull),
        "ciou": 1 - iou + (0.0625 + 0.015625) / (0.75**2 + 0.5**2) + shape**2 / (1 - iou + shape),
        "l1_giou": 5 * 0.625 + 2 * (1 - iou + (hull - union) / hull),
    }
    for name, loss in LOSSES.items():
        assert float(loss(guess, truth, None)[0]) == pytest.approx(expected[name], rel=1e-6), name


def test_generalised_overlap_falls_with_the_distance_of_boxes_that_do_not_touch() -> None:
    one = torch.tensor([[0.0, 0.0, 0.1, 0.1]])
    far = [float(giou_distance(one, one + shift)) for shift in (0.0, 0.05, 0.2, 0.5, 0.9)]
    assert far == sorted(far)
    assert far[0] == 0
    assert 1 < far[2] < far[-1] < 2


def test_overlap_does_not_change_with_scale() -> None:
    one, other = boxes(50), boxes(50)
    torch.testing.assert_close(overlap(one, other).iou, overlap(one * 640, other * 640).iou)
    torch.testing.assert_close(giou_distance(one, other), giou_distance(one * 640, other * 640))


@EACH
def test_its_gradient_is_the_finite_difference(loss: Any) -> None:
    truth, output = boxes(12), torch.randn(12, 4, dtype=torch.float64)
    leaf = output.clone().requires_grad_()
    loss(leaf, Field.dense(truth), None)[0].backward()
    held = {}

    def value(one: Tensor) -> float:
        """CIoU's alpha is a factor that stands still: the formula is written out here with the alpha of the middle."""
        if loss is not ciou:
            return float(loss(one, Field.dense(truth), None)[0])
        guess, true = predicted(one), centre_of(truth)
        seen = overlap(corners_of(guess), truth)
        shape = 4 / math.pi**2 * (torch.atan(true[:, 2] / true[:, 3]) - torch.atan(guess[:, 2] / guess[:, 3])) ** 2
        alpha = held.setdefault("alpha", shape / (1 - seen.iou + shape))
        apart = (guess[:, :2] - true[:, :2]).square().sum(1) / seen.diagonal
        return float((1 - seen.iou + apart + alpha * shape).sum())

    value(output)
    for row, place in ((0, 0), (3, 1), (5, 2), (11, 3), (7, 0), (7, 3)):
        step = torch.zeros_like(output)
        step[row, place] = 1e-6
        slope = (value(output + step) - value(output - step)) / 2e-6
        assert float(leaf.grad[row, place]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@EACH
def test_missing_boxes_and_weights_count_by_the_one_rule(loss: Any) -> None:
    truth, output = boxes(5), torch.randn(5, 4, dtype=torch.float64)
    present = torch.tensor([True, False, True, True, False])
    weight = torch.tensor([1.0, 1.0, 0.0, 2.5, 3.0])
    spoilt = torch.where(present[:, None], truth, torch.nan)
    leaf = output.clone().requires_grad_()
    total, count = loss(leaf, Field(spoilt, present), weight)
    each = [float(loss(output[i : i + 1], Field.dense(truth[i : i + 1]), None)[0]) for i in (0, 3)]
    assert float(total.detach()) == pytest.approx(each[0] + 2.5 * each[1])
    assert float(count) == 3.5
    total.backward()
    assert bool(leaf.grad.isfinite().all())
    assert not leaf.grad[[1, 2, 4]].any()


@EACH
def test_the_ends_of_the_sigmoid_give_no_nan(loss: Any) -> None:
    output = torch.tensor([[-200.0, 200.0, -200.0, -200.0], [200.0, 0.0, 200.0, -200.0]], requires_grad=True)
    total, _ = loss(output, Field.dense(boxes(2).float()), None)
    total.backward()
    assert bool(total.isfinite())
    far = output.detach().abs() > 6
    assert bool(
        (output.grad.sign()[far] == output.detach().sign()[far]).all()
    )  # drawn back, where the sigmoid itself has no slope
    assert bool(output.grad.isfinite().all())


@EACH
def test_half_precision_is_read_in_float32(loss: Any) -> None:
    total, _ = loss(torch.zeros(3, 4, dtype=torch.bfloat16), Field.dense(boxes(3).float()), None)
    assert total.dtype == torch.float32


def test_what_is_no_box_and_no_factor_is_refused() -> None:
    with pytest.raises(DataError, match=r"outputs \[N, 4\] with boxes \[N, 4\], got outputs of shape \(2, 3\)"):
        box_l1(torch.zeros(2, 3), Field.dense(torch.zeros(2, 4)), None)
    with pytest.raises(ConfigError, match=r"factor giou .* got -1"):
        L1GIoU(giou=-1)
    with pytest.raises(ConfigError, match="l1 or giou above 0"):
        L1GIoU(l1=0, giou=0)
    assert (
        L1GIoU(l1=4.0, giou=0.0)(torch.zeros(1, 4), Field.dense(torch.tensor([[0.25, 0.25, 0.75, 0.5]])), None)[0]
        == 1.5
    )


def test_the_two_forms_and_the_output_go_back_and_forth() -> None:
    truth = boxes(30)
    torch.testing.assert_close(corners_of(centre_of(truth)), truth)
    torch.testing.assert_close(predicted(of(truth)), centre_of(truth).clamp(0.0025, 0.9975))
