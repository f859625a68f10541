"""Class weights, smoothing and focusing as settings of a task: from the training rows, refused where the loss does not read them."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest
import torch

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field
from cotrain.losses import BinaryCrossEntropy, BinaryFocal, CrossEntropy, Focal, squared_error
from cotrain.tasks.binary import Binary
from cotrain.tasks.labels import ClassCodec
from cotrain.tasks.multiclass import Multiclass

TABLE = pl.DataFrame({"y": ["no"] * 8 + ["yes"] * 2, "z": ["a"] * 6 + ["b"] * 3 + ["c"]})


def test_balanced_weights_come_from_the_training_rows_and_are_stored_with_the_codec() -> None:
    task = Binary("y", class_weights="balanced").refitted(TABLE)
    assert task.loss == BinaryCrossEntropy(class_weights=(0.625, 2.5))
    again = Binary("y", class_weights="balanced").with_codec(ClassCodec.from_json(task.codec.to_json()))
    assert again.loss == task.loss
    three = Multiclass("z", class_weights="balanced", loss=Focal(), gamma=1.0).refitted(TABLE)
    assert three.loss == Focal(gamma=1.0, class_weights=(10 / 18, 10 / 9, 10 / 3))


def test_weights_by_label_are_scaled_to_mean_1_over_the_training_rows() -> None:
    task = Binary("y", class_weights={"yes": 4.0}).refitted(TABLE)
    assert isinstance(task.loss, BinaryCrossEntropy)
    assert task.loss.class_weights == pytest.approx((1 / 1.6, 4 / 1.6))


def test_a_codec_stored_before_there_were_counts_is_still_read() -> None:
    stored = Binary("y").refitted(TABLE).codec.to_json()
    del stored["counts"]
    assert Binary("y").with_codec(ClassCodec.from_json(stored)).codec.classes == ("no", "yes")


def test_a_loss_whose_weights_wait_for_the_rows_says_so_when_it_is_called() -> None:
    for task in (Binary("y", class_weights="balanced"), Binary("y", class_weights={"yes": 2.0})):
        with pytest.raises(ConfigError, match="task 'y': class_weights need the classes"):
            task.loss(torch.zeros(2, 1), Field.dense(torch.zeros(2)), None)
    assert Binary("y", class_weights={0: 1.0, 1: 2.0}).loss == BinaryCrossEntropy(class_weights=(1.0, 2.0))  # type: ignore[dict-item]


def test_settings_stay_when_a_codec_is_fitted_and_a_loss_of_ones_own_settings_is_kept() -> None:
    task = Binary("y", smoothing=0.1, threshold=0.3).refitted(TABLE)
    assert task.loss == BinaryCrossEntropy(smoothing=0.1)
    own = Binary("y", loss=BinaryFocal(gamma=3.0)).refitted(TABLE)
    assert own.loss == BinaryFocal(gamma=3.0)
    assert Multiclass("z", loss=CrossEntropy(smoothing=0.3)).refitted(TABLE).loss == CrossEntropy(smoothing=0.3)
    assert dataclasses.replace(task, smoothing=0.2).loss == BinaryCrossEntropy(smoothing=0.2)


def test_class_weights_stay_out_of_the_count() -> None:
    task = Binary("y", class_weights="balanced").refitted(TABLE)
    _, count = task.loss(torch.zeros(10, 1), task.codec.encode(TABLE), None)
    assert float(count) == 10
    total, _ = task.loss(torch.zeros(10, 1), task.codec.encode(TABLE), None)
    assert float(total) == pytest.approx(10 * 0.693147, rel=1e-5)  # mean 1 over the training rows


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binary("y", gamma=1.0), "gamma is read by the loss focal, not by cross_entropy"),
        (
            lambda: Binary("y", loss=BinaryFocal(), smoothing=0.1),
            "smoothing is read by the loss cross_entropy, not by focal",
        ),
        (lambda: Multiclass("y", classes=3, gamma=1.0), "gamma is read by the loss focal"),
        (lambda: Binary("y", loss=squared_error, class_weights="balanced"), "not by a loss of your own"),
        (lambda: Binary("y", smoothing=2.0), "task 'y': smoothing must be"),
        (lambda: Binary("y", class_weights="even"), "must be 'balanced' or weights by label"),
        (lambda: Binary("y", class_weights={"yes": -1.0}), "positive finite numbers"),
        (lambda: Multiclass("y", calibrate="platt"), "unknown calibration 'platt'"),
    ],
)
def test_settings_that_do_nothing_are_refused(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_weights_for_a_label_that_is_no_class_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(DataError, match="task 'y': class_weights: unknown label 'yess'; did you mean 'yes'"):
        Binary("y", class_weights={"yess": 2.0}).refitted(TABLE)
