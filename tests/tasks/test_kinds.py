"""Kinds beyond yes/no, classes and numbers: what their columns may hold, the way there and back, what is predicted."""

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
from cotrain.core.spec import FieldSpec
from cotrain.encoders import MLP
from cotrain.heads import LinearHead, MLPHead
from cotrain.losses import NegativeBinomialDeviance, TweedieDeviance, gamma_deviance, log_squared_error, squared_error
from cotrain.losses.cumulative_link import cumulative_logits
from cotrain.model import Model
from cotrain.tasks import Count, Multilabel, Ordinal, Positive, Quantile, Survival
from cotrain.tasks.survival_times import Curves

COUNTS = pl.DataFrame({"n": [0, 3, None, 1], "years": [1.0, 2.0, 1.0, None]})
LIVES = pl.DataFrame({"days": [1.0, 2.0, 3.0, 4.0, 2.5, 0.5], "died": [1, 1, 1, 1, 0, 0]})
FITTED: list[tuple[Any, pl.DataFrame]] = [
    (Multilabel("y", columns=("sea", "hill")), pl.DataFrame({"sea": ["yes", "no", None], "hill": [1.0, 0.0, 1.0]})),
    (Multilabel("tags"), pl.DataFrame({"tags": [["a", "b"], [], None, ["b"]]})),
    (Multilabel("tags", separator=";"), pl.DataFrame({"tags": ["a;b", None, "b", "c ; a"]})),
    (Ordinal("grade"), pl.DataFrame({"grade": [3, 1, 2, 2, None]})),
    (Ordinal("size", classes=["S", "M", "L"]), pl.DataFrame({"size": ["S", "L", "M", None]})),
    (Count("n", exposure="years"), COUNTS),
    (Positive("cost"), pl.DataFrame({"cost": [0.0, 1.5, None, 7.0]})),
    (Quantile("wait", levels=[0.1, 0.9]), pl.DataFrame({"wait": [0.0, 1.5, None, 7.0]})),
    (Survival("life", time="days", event="died", bins=2, times=[1.0]), LIVES),
]
EACH = pytest.mark.parametrize(("task", "frame"), FITTED, ids=lambda one: getattr(one, "kind", ""))


@EACH
def test_codecs_are_stored_as_json_and_read_back(task: Any, frame: pl.DataFrame) -> None:
    fitted = task.refitted(frame)
    codec = fitted.codec
    assert type(codec).from_json(json.loads(json.dumps(codec.to_json()))) == codec
    target = codec.encode(frame)
    target.check(task.name)
    fitted.check(target)
    assert fitted.with_codec(codec) == fitted
    assert fitted.outputs == codec.outputs > 0
    assert target.present.tolist() == codec.encode(frame.reverse()).present.flip(0).tolist()


@pytest.mark.parametrize(("task", "frame"), FITTED[3:], ids=lambda one: getattr(one, "kind", ""))
def test_outputs_of_zero_are_the_training_rows(task: Any, frame: pl.DataFrame) -> None:
    """Within what smoothing and least gaps allow: an untrained network begins near the best constant."""
    fitted = task.refitted(frame)
    target = fitted.codec.encode(frame)
    best = fitted.reference(target, None)
    nothing, count = fitted.loss(torch.zeros(len(target), fitted.outputs), target, None)
    constant, _ = fitted.loss(best.expand(len(target), -1), target, None)
    bound = {"survival": 0.15, "ordinal": 0.05}.get(task.kind, 0.02)
    assert float(constant / count) <= float(nothing / count) + 1e-6
    assert float(nothing / count) <= float(constant / count) + bound


@EACH
def test_predictions_have_one_answer_a_row_and_none_for_none(task: Any, frame: pl.DataFrame) -> None:
    fitted = task.refitted(frame)
    for rows in (3, 0):
        answers = fitted.decode(torch.randn(rows, fitted.outputs))
        assert {len(one) for one in answers.values()} == {rows}
        pl.DataFrame({name: list(one) for name, one in answers.items()})


@EACH
def test_an_ensemble_is_averaged_in_what_it_predicts(task: Any, frame: pl.DataFrame) -> None:
    fitted = task.refitted(frame)
    members = torch.randn(4, 5, fitted.outputs, dtype=torch.float64)
    joined = fitted.averaged(members)
    assert joined.shape == (5, fitted.outputs)
    shown = {
        "multilabel": torch.sigmoid,
        "ordinal": lambda z: torch.sigmoid(cumulative_logits(z, fitted.codec.base)),
        "survival": lambda z: torch.from_numpy(Curves.of(z, fitted.codec).log_survival).exp(),
    }.get(task.kind) or fitted.codec.decoded
    torch.testing.assert_close(shown(joined), torch.stack([shown(one) for one in members]).mean(0))
    torch.testing.assert_close(shown(fitted.averaged(members[:1])), shown(members[0]))


# ------------------------------------------------------------------------------------------------------------- label sets


def test_columns_of_yes_and_no_are_a_label_each_and_miss_cells_one_by_one() -> None:
    frame = pl.DataFrame({"sea": ["yes", "no", None], "hill": [0, 0, 0], "sun": [True, None, False]})
    task = Multilabel("place", columns=["sea", "hill", "sun"]).refitted(frame)
    target = task.codec.encode(frame)
    assert target.values.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert target.valid.tolist() == [[True, True, True], [True, True, False], [False, True, True]]
    answers = task.decode(torch.tensor([[9.0, 9.0, -9.0]]))
    assert (answers["place_sea"], answers["place_hill"], answers["place_sun"]) == (["yes"], ["1"], ["0"])
    assert answers["place_probability_sea"][0] == pytest.approx(1, abs=1e-3)


def test_lists_and_separated_words_are_the_same_sets() -> None:
    lists = pl.DataFrame({"tags": [["b", "a"], [], None, ["c"]]})
    words = pl.DataFrame({"tags": ["b| a", "", None, "c"]})
    one, other = Multilabel("tags").refitted(lists), Multilabel("tags", separator="|").refitted(words)
    assert one.codec.labels == other.codec.labels == ("a", "b", "c")
    assert one.codec.encode(lists).values.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert torch.equal(one.codec.encode(lists).values, other.codec.encode(words).values)
    assert one.codec.encode(lists).present.tolist() == [True, True, False, True]
    assert one.decode(torch.tensor([[9.0, 9.0, -9.0]]))["tags"] == [["a", "b"]]
    assert other.decode(torch.tensor([[9.0, 9.0, -9.0]]))["tags"] == ["a|b"]


def test_labels_no_training_row_has_are_passed_over_and_said() -> None:
    codec = Multilabel("tags", separator=",").refitted(pl.DataFrame({"tags": ["a,b", "a"]})).codec
    rows = pl.DataFrame({"tags": ["a,z", "b"]})
    assert codec.encode(rows).values.tolist() == [[1, 0], [0, 1]]
    assert codec.notes(rows) == ["task 'tags': labels that no training row has are passed over: 'z'"]
    several = Multilabel("t", columns=["x", "y"]).refitted(pl.DataFrame({"x": [0, 1], "y": [0, 1]})).codec
    assert several.notes(pl.DataFrame({"x": [0, 2], "y": [1, 1]})) == [
        "task 't': 1 cells of column 'x' are neither '0' nor '1'; they count as missing"
    ]


def test_a_label_said_to_mean_yes_does_so_in_every_column() -> None:
    frame = pl.DataFrame({"x": ["high", "low", "none"], "y": ["low", "low", "high"]})
    task = Multilabel("t", columns=["x", "y"], positive="high").refitted(frame)
    assert task.codec.encode(frame).values.tolist() == [[1, 0], [0, 0], [0, 1]]


# -------------------------------------------------------------------------------------------------------- ordered classes


def test_ranks_follow_values_or_the_order_that_is_given() -> None:
    assert Ordinal("y").refitted(pl.DataFrame({"y": ["10", "9", "11"]})).codec.ranks.classes == ("9", "10", "11")
    task = Ordinal("y", classes=["low", "mid", "high"]).refitted(pl.DataFrame({"y": ["high", "low"]}))
    assert task.codec.encode(pl.DataFrame({"y": ["low", "high", "mid"]})).values.tolist() == [0, 2, 1]
    assert task.outputs == 2


def test_thresholds_never_cross_whatever_the_head() -> None:
    logits = cumulative_logits(torch.randn(500, 5) * 10, (1.0, 0.2, 0.3, -4.0, 1.0))
    assert bool((logits.diff(dim=1) <= 0).all())
    answers = Ordinal("y", classes=6).decode(torch.randn(500, 5) * 3)
    chances = torch.stack([torch.from_numpy(answers[f"y_probability_{rank}"]) for rank in range(6)], 1)
    assert bool((chances >= 0).all())
    torch.testing.assert_close(chances.sum(1), torch.ones(500, dtype=torch.float64))
    rank = torch.tensor([int(one) for one in answers["y"]])
    below = chances.cumsum(1).gather(1, rank[:, None]).squeeze(1)
    assert bool((below >= 0.5).all())  # the median class


@pytest.mark.parametrize(
    ("own", "network", "constants"),
    [(None, None, True), (None, MLPHead(widths=[4]), True), (LinearHead(), MLPHead(widths=[4]), False)],
)
def test_the_networks_head_gives_the_score_unless_the_task_brings_its_own(
    own: Any, network: Any, constants: bool
) -> None:
    model = Model(encoder=MLP(widths=[8]), tasks=[Ordinal("y", classes=4, head=own)], head=network)
    model.build({"main": {"x": FieldSpec("number", ("a", "b"))}})
    outputs = model.predict(Batch({"x": Field.dense(torch.randn(6, 2))}))["y"]
    assert outputs.shape == (6, 3)
    assert (outputs[:, 1].unique().numel() == 1) == constants
    deep = sum(isinstance(one, torch.nn.ReLU) for one in model.heads.modules())
    assert deep == int(network is not None and own is None)


# ------------------------------------------------------------------------------------------------------ counts and amounts


def test_an_exposure_makes_a_rate() -> None:
    codec = Count("n", exposure="years").refitted(COUNTS).codec
    assert codec.columns == ("n", "years")
    assert codec.mean == 1.0  # 3 in 3 years
    assert codec.encode(COUNTS).present.tolist() == [True, True, False, False]
    assert codec.encode(COUNTS).values[:2].tolist() == [[0.0, 1.0], [3.0, 2.0]]


def test_an_output_of_zero_predicts_the_mean() -> None:
    frame = pl.DataFrame({"y": [0.0, 1.0, 5.0]})
    for task in (Count("y"), Positive("y")):
        assert task.refitted(frame).decode(torch.zeros(1, 1))["y"].tolist() == [2.0]


def test_settings_of_a_loss_reach_it() -> None:
    assert Count("y", loss=Count.losses["negative_binomial"], dispersion=0.4).loss == NegativeBinomialDeviance(0.4)
    assert Positive("y", power=1.2).loss == TweedieDeviance(1.2)
    assert Positive("y", power=1.2).metrics.power == 1.2
    assert Positive("y", loss=gamma_deviance).metrics.power == 2.0
    assert Quantile("y", levels=[0.2]).loss.levels == (0.2,)


# ---------------------------------------------------------------------------------------------------------------- survival


def test_columns_of_time_and_event_may_be_named_in_two_ways() -> None:
    one, other = Survival("y", time="t", event="e"), Survival("y", columns=["t", "e"])
    assert one.codec == other.codec
    assert one.codec.columns == ("t", "e")


def test_intervals_survived_by_hand() -> None:
    codec = Survival("y", time="days", event="died", bins=2).refitted(LIVES).codec
    assert codec.edges == (2.5, 4.0)
    target = codec.encode(LIVES.vstack(pl.DataFrame({"days": [9.0, 9.0, 1.25], "died": [1, 0, 0]})))
    # events in (0, 2.5], (0, 2.5], (2.5, 4], (2.5, 4]; lost at 2.5 and .5 (middles at 1.25 and 3.25); later than all; at a middle
    assert target.values[:, :2].tolist() == [[0, 1], [0, 1], [1, 1], [1, 1], [1, 0], [0, 0], [2, 0], [2, 0], [1, 0]]
    assert target.values[6].tolist() == [2, 0, 9, 1]


def test_medians_and_chances_are_read_off_the_curve() -> None:
    task = Survival("y", time="days", event="died", bins=2, times=[2.5, 9.0]).refitted(LIVES)
    hazards = torch.tensor([[0.5, 0.5], [0.01, 0.01]], dtype=torch.float64)
    answers = task.decode(torch.logit(hazards) - torch.tensor(task.codec.base))
    assert answers["y"][0] == pytest.approx(2.5)
    assert math.isnan(answers["y"][1])
    assert answers["y_survival_2.5"] == pytest.approx([0.5, 0.99])
    assert answers["y_survival_9"] == pytest.approx([0.25, 0.99**2])


# ----------------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Multilabel("y", threshold=0.0), "threshold must lie between 0 and 1"),
        (lambda: Multilabel("y", columns=["a", "b"], separator=","), "separator is for one column of labels, got the columns"),
        (lambda: Multilabel("y", positive=1), "positive is for several columns"),
        (lambda: Multilabel("y", separator=""), "separator must be a sign or more"),
        (lambda: Multilabel("y", metric="f1_mirco"), "unknown metric of task 'y' 'f1_mirco'; did you mean 'f1_micro'"),
        (lambda: Ordinal("y", classes=["a"]), "classes must be a number of at least 2, or at least two different labels"),
        (lambda: Ordinal("y", metric="kapa"), "did you mean 'kappa'"),
        (lambda: Count("y", columns=["a", "b"]), "columns must name one column of counts, got .'a', 'b'.; name how long"),
        (lambda: Count("y", exposure="y"), "columns must name one column of counts beside the exposure 'y'"),
        (lambda: Count("y", dispersion=2.0), "dispersion is a setting of loss: negative_binomial"),
        (lambda: Count("y", loss=NegativeBinomialDeviance(), dispersion=-1), "dispersion of a negative binomial"),
        (lambda: Positive("y", power=2.0), "power is a setting of loss: tweedie and must lie between 1 and 2, got 2.0"),
        (lambda: Positive("y", power=1.5, loss=gamma_deviance), "power is a setting of loss: tweedie"),
        (lambda: Quantile("y", levels=[0.9, 0.1]), "task 'y': levels of quantiles must rise"),
        (lambda: Quantile("y", levels=[0.9], metric="width"), "metric 'width' cannot be told from the levels .0.9."),
        (lambda: Quantile("y", levels=[0.1, 0.9], metric="mae"), "metric 'mae' cannot be told"),
        (lambda: Survival("y"), "survival needs two columns, how long and whether the event came, got none"),
        (lambda: Survival("y", time="t"), "got t; write time: and event:"),
        (lambda: Survival("y", columns=["t", "e"], time="x", event="e"), "got t, e and x, e"),
        (lambda: Survival("y", columns=["t", "e"], bins=0), "bins must be a whole number from 1 to 1000, got 0"),
        (lambda: Survival("y", columns=["t", "e"], times=[0.0]), "times must be positive numbers"),
    ],
)  # fmt: skip
def test_settings_are_checked_at_the_door(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("task", "cells", "message"),
    [
        (Count("y"), {"y": [1.0, 2.5]}, "column 'y', row 2: whole numbers expected, got 2.5 .1 such rows.; use kind: positive"),
        (Count("y"), {"y": [1, -2]}, "row 2: amounts of 0 or more expected, got -2"),
        (Count("y"), {"y": [0, 0]}, "is 0 in all 2 training rows"),
        (Count("y"), {"y": [None, None]}, "holds no amount"),
        (Count("y", exposure="e"), {"y": [1, 2], "e": [1.0, 0.0]}, "column 'e', row 2: an exposure above 0 expected, got 0"),
        (Positive("y", loss=gamma_deviance), {"y": [1.0, 0.0]}, "row 2: amounts above 0 expected, got 0 .*use loss: tweedie"),
        (Positive("y", loss=log_squared_error), {"y": [0.0, 1.0]}, "amounts above 0 expected"),
        (Positive("y"), {"y": ["a", "b"]}, "should hold numbers"),
        (Ordinal("y"), {"y": ["a", "b"]}, "the order of the labels is not known; say it, lowest first: classes: .a, b."),
        (Ordinal("y"), {"y": [1, 1]}, "at least two classes"),
        (Quantile("y"), {"y": [1.0, 1.0]}, "there is nothing to predict"),
        (Multilabel("y"), {"y": ["a;b", "c"]}, "should hold lists of labels, but its cells are String; its cells hold ';'"),
        (Multilabel("y"), {"y": [1, 2]}, "should hold lists of labels, but its cells are Int64; give its separator"),
        (Multilabel("y", separator=","), {"y": [f"{row}a" for row in range(80)]}, "80 different labels in 80 training rows are too many"),
        (Multilabel("y", columns=["a", "b"]), {"a": [0, 1, 2], "b": [0, 1, 1]}, "column 'a'.: expected two labels, yes and no, found 3"),
        (Survival("y", time="t", event="e"), {"t": [-1.0, 2.0], "e": [1, 1]}, "column 't', row 1: times of 0 or more expected, got -1"),
        (Survival("y", time="t", event="e"), {"t": [1.0, 2.0], "e": [0, 0]}, "no event after time 0 .'1' in column 'e'"),
        (Survival("y", time="t", event="e"), {"t": [1.0, 2.0, 3.0], "e": ["a", "b", "c"]}, "expected two labels, yes and no"),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_are_refused_with_task_column_and_cause(
    task: Any, cells: dict[str, list[Any]], message: str
) -> None:
    with pytest.raises(DataError, match=f"task 'y'.*{message}"):
        task.refitted(pl.DataFrame(cells))


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Count("y"), torch.tensor([[1.0], [-1.0]]), "amounts of 0 or more are expected, got -1"),
        (Count("y"), torch.tensor([[1.0, 0.0]]), "what is expected of a row, must be above 0"),
        (Positive("y", loss=gamma_deviance), torch.zeros(2), "amounts above 0 are expected"),
        (Ordinal("y", classes=3), torch.tensor([0, 3]), "has 3 ordered classes: whole numbers from 0 to 2"),
        (Multilabel("y", columns=["a", "b"]), torch.tensor([[0.0, 2.0]]), "cells between 0 and 1 are expected"),
        (Survival("y", columns=["days", "died"]).refitted(LIVES), torch.zeros(2, 1), "targets .N, 4. as its codec encodes them"),
        (Survival("y", columns=["days", "died"], bins=2).refitted(LIVES), torch.tensor([[2.0, 1, 1, 1]]), "has 2 intervals, its targets name 3"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_are_refused(task: Any, values: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=f"task 'y'.*{message}"):
        task.check(Field.dense(values))


@EACH
def test_a_loss_of_ones_own_has_no_known_constant(task: Any, frame: pl.DataFrame) -> None:
    from dataclasses import replace

    own = replace(task.refitted(frame), loss=squared_error)
    assert own.reference(own.codec.encode(frame), None) is None
