"""Boosted trees on encoded rows: the same answers as scikit-learn asked directly, whatever is missing or weighs nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.boosting import boosted_output

SPECS = {"numbers": FieldSpec("number", ("a", "b"), shape=(2,))}


def batch(rows: int, seed: int, weight: torch.Tensor | None = None) -> Batch:
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed))
    yes = Field((x[:, 0] > 0).float(), torch.arange(rows) % 5 != 0)
    return Batch({"numbers": Field.dense(x)}, {"yes": yes, "size": Field.dense(x.sum(1, keepdim=True))}, weight)


def test_labelled_rows_train_and_the_logit_is_that_of_the_classifier() -> None:
    train, test = batch(300, 0), batch(50, 1)
    found = boosted_output(Binary("yes"), train, None, test, SPECS, 0)
    keep = train.targets["yes"].present.numpy()
    x = train.inputs["numbers"].values.double().numpy()
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    model.fit(x[keep], train.targets["yes"].values.numpy()[keep])
    chance = np.clip(model.predict_proba(test.inputs["numbers"].values.double().numpy())[:, 1], 1e-7, 1 - 1e-7)
    assert found.shape == (50, 1)
    assert torch.sigmoid(found).squeeze(1).numpy() == pytest.approx(chance, abs=1e-6)


def test_validation_rows_that_weigh_nothing_stop_nothing() -> None:
    train, test = batch(200, 0, torch.ones(200)), batch(50, 1)
    weightless = batch(60, 2, torch.zeros(60))
    for task in (Binary("yes"), Regression("size")):
        with_them = boosted_output(task, train, weightless, test, SPECS, 0)
        assert torch.equal(with_them, boosted_output(task, train, None, test, SPECS, 0))


def test_validation_rows_stop_the_rounds_and_weigh_as_they_are_said_to() -> None:
    weight = torch.arange(120).float() % 3
    train, valid, test = batch(400, 0, torch.ones(400)), batch(120, 2, weight), batch(50, 1)
    found = boosted_output(Regression("size"), train, valid, test, SPECS, 0)
    keep = weight.numpy() > 0
    x, y = (one.double().numpy() for one in (train.inputs["numbers"].values, train.targets["size"].values[:, 0]))
    model = HistGradientBoostingRegressor(max_iter=500, early_stopping=True, random_state=0)
    model.fit(
        x, y, sample_weight=np.ones(400), X_val=valid.inputs["numbers"].values.double().numpy()[keep],
        y_val=valid.targets["size"].values[:, 0].double().numpy()[keep], sample_weight_val=weight.numpy()[keep],
    )  # fmt: skip
    expected = model.predict(test.inputs["numbers"].values.double().numpy())
    assert found.squeeze(1).numpy() == pytest.approx(expected)


def test_weights_of_words_are_read_as_numbers() -> None:
    train, test = batch(200, 0), batch(40, 1)
    specs = {"words": FieldSpec("bag", ("w: a", "w: b"), shape=(2,))}
    renamed = [Batch({"words": one.inputs["numbers"]}, one.targets) for one in (train, test)]
    found = boosted_output(Regression("size"), renamed[0], None, renamed[1], specs, 0)
    assert torch.equal(found, boosted_output(Regression("size"), train, None, test, SPECS, 0))


def test_a_missing_number_is_given_as_missing_and_not_as_its_filler() -> None:
    train, test = batch(300, 0), batch(60, 1)
    gap = [torch.rand(len(one), 2, generator=torch.Generator().manual_seed(5)) > 0.3 for one in (train, test)]
    holed = [
        Batch({"numbers": Field.dense(one.inputs["numbers"].values.where(held, 9.0), held)}, one.targets)
        for one, held in zip((train, test), gap, strict=True)
    ]
    found = boosted_output(Regression("size"), holed[0], None, holed[1], SPECS, 0)
    x = [
        np.where(held.numpy(), one.inputs["numbers"].values.double().numpy(), np.nan)
        for one, held in zip((train, test), gap, strict=True)
    ]
    model = HistGradientBoostingRegressor(max_iter=100, early_stopping=False, random_state=0)
    model.fit(x[0], train.targets["size"].values[:, 0].double().numpy())
    assert found.squeeze(1).numpy() == pytest.approx(model.predict(x[1]))
