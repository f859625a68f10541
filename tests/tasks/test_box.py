"""Boxes: columns in three forms to shares and back, what is degenerate, scores by hand, the best constant, where a moved picture takes them."""

from __future__ import annotations

import json
import math
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Shape
from cotrain.core.spec import FieldSpec
from cotrain.heads import LinearHead, MLPHead, WideDeepHead
from cotrain.heads.placed import Placed
from cotrain.heads.pooling import Grid
from cotrain.losses import L1GIoU, squared_error
from cotrain.losses.boxes import centre_of, output_of
from cotrain.tasks.box import Box
from cotrain.tasks.box_columns import BoxCodec
from cotrain.training.boosting import boosted_output

COLUMNS = ("a", "b", "c", "d")
FORMS = {"corners": [40, 20, 120, 80], "centre": [80, 50, 80, 60], "corner_size": [40, 20, 80, 60]}
SHARES = [0.2, 0.2, 0.6, 0.8]


def frame(*rows: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)), strict=False)


def task(**settings: Any) -> Box:
    return Box("y", columns=COLUMNS, **settings)


def boxes(rows: int) -> Tensor:
    one, other = torch.rand(2, rows, 2)
    return torch.cat([torch.minimum(one, other), torch.maximum(one, other)], 1)


def output(corners: list[list[float]] | Tensor) -> Tensor:
    return output_of(centre_of(torch.as_tensor(corners).double()))


@pytest.mark.parametrize("form", FORMS)
def test_the_three_forms_are_one_box_and_are_answered_in_their_own_units(form: Any) -> None:
    fitted = task(form=form, size=[200, 100]).refitted(frame(FORMS[form]))
    target = fitted.codec.encode(frame(FORMS[form], [None] * 4))
    assert target.values[0].tolist() == pytest.approx(SHARES)
    assert target.present.tolist() == [True, False]
    answers = fitted.decode(output([SHARES]))
    assert [answers[f"y_{column}"][0] for column in COLUMNS] == pytest.approx(FORMS[form])
    assert BoxCodec.from_json(json.loads(json.dumps(fitted.codec.to_json()))) == fitted.codec
    fitted.check(target)


def test_predictions_stay_in_the_picture() -> None:
    answers = task().decode(torch.tensor([[9.0, -9.0, 9.0, 0.0]]))
    low = [answers[f"y_{column}"][0] for column in COLUMNS]
    assert low == pytest.approx([0.5, 0.0, 1.0, 0.25], abs=1e-3)
    assert {len(one) for one in task().decode(torch.zeros(0, 4)).values()} == {0}


def test_degenerate_boxes_are_named_and_count_as_missing_and_others_are_cut() -> None:
    rows = frame(
        [10, 10, 10, 20], [10, 10, 5, 20], [120, 10, 130, 20], [-10, 0, 50, 100], [1, None, 5, 5], [5, 5, 50, 50], *[[0, 0, 100, 100]] * 4
    )  # fmt: skip
    fitted = task(size=[100, 100]).refitted(rows)
    target = fitted.codec.encode(rows)
    assert target.present.tolist() == [False, False, False, True, False, True, True, True, True, True]
    assert target.values[3].tolist() == [0, 0, 0.5, 1]
    notes = fitted.codec.notes(rows)
    assert notes[0] == (
        "task 'y': 2 boxes have no width or no height (rows 1, 2) (is the form corner_size?), 1 box lies outside of the picture (row 3); "
        "they count as missing"
    )
    assert notes[1] == "task 'y': 1 box reaches beyond the picture (row 4); what lies outside is cut off"
    assert notes[2] == "task 'y': 1 row has some of the four numbers only (row 5); their boxes count as missing"
    assert fitted.codec.notes(frame([5, 5, 50, 50])) == []
    for refusal in (
        task(size=[100, 100], degenerate="refuse").refitted,
        task(size=[100, 100], degenerate="refuse").codec.encode,
    ):
        with pytest.raises(
            DataError, match=r"task 'y': 2 boxes have no width .* correct them, or say degenerate: missing"
        ):
            refusal(rows)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[None] * 4], "hold no box in the training rows"),
        ([[10, 20, 300, 400], [10, 20, 30, 40]], r"2 of 2 boxes .* beyond a picture of 1 x 1, up to 300 x 400; give the picture's size .* \(here corners\)"),
        ([[0.5, 0.5, 0.2, 0.2]], r"no width or no height \(row 1\) \(is the form corner_size\?\); no box is left"),
        ([["x", 0, 1, 1]], "column 'a' should hold numbers"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_learnt_from_are_refused(rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"task 'y'.*{said}"):
        task().refitted(frame(*rows))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"columns": ["a", "b"]}, r"four different columns, got \[a, b\]; write for example"),
        ({"columns": None}, "four different columns"),
        ({"columns": "abcd"}, "four different columns, got 'abcd'"),
        ({"columns": ["a", "b", "c", "c"]}, "four different"),
        ({"form": "corner"}, "form must be one of corners, centre, corner_size, got 'corner'"),
        ({"size": [640]}, r"size must be the picture's width and height .* got \[640.0\]"),
        ({"size": [640, 0]}, "size must be"),
        ({"degenerate": "drop"}, "degenerate must be one of missing, refuse"),
        ({"visible": 1.5}, "visible is a share from 0 to 1, got 1.5"),
        ({"metric": "men_iou"}, "unknown metric of task 'y' 'men_iou'; did you mean 'mean_iou'"),
        ({"loss": "giou"}, "a config names one of l1_giou, l1, squared, giou, ciou"),
    ],
)  # fmt: skip
def test_settings_are_checked_at_the_door(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"task 'y'.*{said}|{said}"):
        Box("y", **{"columns": COLUMNS} | settings)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Field.dense(torch.zeros(2, 3)), r"targets \[N, 4\] .* got \(2, 3\)"),
        (Field.dense(boxes(2), torch.ones(2, 4, dtype=torch.bool)), "single valid cells"),
        (Field.dense(torch.tensor([[0.5, 0.0, 0.2, 1.0]])), r"x0 < x1 .* got \[0.5, 0.0, 0.2, 1.0\] \(1 such rows\)"),
        (Field.dense(torch.tensor([[0.0, 0.0, 20.0, 1.0]])), "divide by the picture's width"),
    ],
)
def test_targets_that_cannot_be_are_refused(target: Field, said: str) -> None:
    with pytest.raises(DataError, match=f"task 'y' is a box.*{said}"):
        task().check(target)


def test_scores_are_those_worked_out_by_hand() -> None:
    truth = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    guess = output([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.5], [0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.1, 0.1]])
    target = Field(truth, torch.tensor([True, True, True, False]))
    scores = task(size=[10, 10]).metrics.score(guess, target, torch.tensor([1.0, 2.0, 1.0, 5.0]))
    assert scores["mean_iou"] == pytest.approx((1 + 2 * 0.5 + 0) / 4, abs=1e-5)
    assert scores["accuracy_iou50"] in (0.25, 0.75)  # .5 exactly, but for rounding
    assert scores["rmse"] == pytest.approx(math.sqrt((2 * 2.5**2 / 4 + 25) / 4), abs=1e-3)
    assert task().error(scores) == pytest.approx(0.5, abs=1e-5)
    assert all(
        math.isnan(one)
        for one in task().metrics.score(guess, Field(truth, torch.zeros(4, dtype=torch.bool)), None).values()
    )
    assert not task().metrics.higher_is_better("rmse")
    assert task().metrics.higher_is_better("accuracy_iou50")


def test_a_box_cut_to_the_picture_is_scored_as_it_is_answered() -> None:
    beyond = output_of(torch.tensor([[0.75, 0.5, 0.98, 0.98]]).double())
    truth = Field.dense(torch.tensor([[0.26, 0.01, 1.0, 0.99]]))
    assert task().metrics.score(beyond, truth, None)["mean_iou"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("loss", Box.losses)
def test_no_other_constant_box_has_a_smaller_loss(loss: str) -> None:
    one = task(loss=Box.losses[loss])
    target = Field(boxes(60), torch.rand(60) > 0.2)
    weight = torch.rand(60, dtype=torch.float64)
    best = one.reference(target, weight)

    def mean(constant: Tensor) -> float:
        total, count = one.loss(constant.expand(60, 4), target, weight)
        return float(total / count)

    least = mean(best)
    for size in (1.0, 0.1, 0.01):
        for _ in range(8):
            assert least <= mean(best + size * torch.randn(4)) + 1e-6
    assert torch.equal(best, one.reference(target, weight))
    alone = one.reference(Field.dense(target.values[:1]), None)
    assert float(one.loss(alone.unsqueeze(0), Field.dense(target.values[:1]), None)[0]) == pytest.approx(0, abs=1e-3)
    none = one.reference(Field(target.values, torch.zeros(60, dtype=torch.bool)), None)
    assert bool(none.isfinite().all())


def test_a_loss_of_ones_own_has_no_known_constant_and_factors_of_ones_own_have() -> None:
    assert task(loss=squared_error).reference(Field.dense(boxes(3)), None) is None
    assert task(loss=L1GIoU(l1=1, giou=0)).reference(Field.dense(boxes(3)), None) is not None


def test_an_ensemble_is_averaged_in_the_box() -> None:
    members = torch.randn(3, 5, 4, dtype=torch.float64)
    joined = torch.sigmoid(task().averaged(members))
    torch.testing.assert_close(joined, torch.sigmoid(members).mean(0))


def moves(*matrices: list[list[float]]) -> Tensor:
    return torch.tensor(matrices)


def test_boxes_go_where_their_pictures_go() -> None:
    target = Field.dense(torch.tensor([[0.25, 0.0, 0.5, 0.5]]).repeat(4, 1))
    still, mirrored = [[1.0, 0, 0], [0, 1.0, 0]], [[-1.0, 0, 1.0], [0, 1.0, 0]]
    turned, shifted = [[0, -1.0, 1.0], [1.0, 0, 0]], [[1.0, 0, -0.375], [0, 1.0, 0]]
    moved = task().codec.moved(target, moves(still, mirrored, turned, shifted))
    expected = [[0.25, 0, 0.5, 0.5], [0.5, 0, 0.75, 0.5], [0.5, 0.25, 1.0, 0.5], [0, 0, 0.125, 0.5]]
    torch.testing.assert_close(moved.values, torch.tensor(expected))
    assert moved.present.all()
    moved.check("y")


def test_a_box_that_leaves_the_picture_is_no_longer_there() -> None:
    target = Field(
        torch.tensor([[0.0, 0.0, 0.5, 0.5]]).repeat(3, 1), torch.tensor([True, True, False]), weight=torch.ones(3)
    )
    away = moves(
        [[1.0, 0, -0.25], [0, 1.0, -0.2]], [[1.0, 0, -0.3], [0, 1.0, -0.2]], [[1.0, 0, 0], [0, 1.0, 0]]
    )  # .3 and .24 are left
    moved = task().codec.moved(target, away)
    assert moved.present.tolist() == [True, False, False]
    assert moved.weight is not None
    task().check(moved)
    assert task(visible=0.0).codec.moved(target, away).present.tolist() == [True, True, False]


def test_its_head_keeps_where_things_are() -> None:
    built = Box("y", columns=COLUMNS).headed(LinearHead()).build([Shape("map", 6)], 4)
    assert any(isinstance(layer, Grid) for layer in built.modules())
    assert Placed(MLPHead(widths=[3])).over("sequence") == MLPHead(widths=[3], pool="attention")
    for head, layout in ((LinearHead(), "vector"), (LinearHead(pool="max"), "map"), (WideDeepHead(), "map")):
        assert Placed(head).over(layout) == head


def test_trees_answer_boxes() -> None:
    x = torch.rand(200, 2)
    truth = torch.cat([x * 0.5, x * 0.5 + 0.3], 1)
    specs = {"numbers": FieldSpec("number", ("a", "b"), shape=(2,))}
    batch = Batch({"numbers": Field.dense(x)}, {"y": Field(truth, torch.rand(200) > 0.1)})
    found = boosted_output(task(), batch, None, batch, specs, 0)
    assert task().metrics.score(found, Field.dense(truth), None)["mean_iou"] > 0.85
