"""Scores, constants and cost, against figures from outside."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score
from torch import Tensor, nn

from cotrain.core.fields import Batch, Field
from cotrain.encoders.own import OwnNetwork
from cotrain.model.compose import Model
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression
from cotrain.training.baseline import constants
from cotrain.training.cost import PeakMemory, cost
from cotrain.training.evaluate import evaluate, gather, mean_losses
from cotrain.training.feed import Feed
from cotrain.training.optimizer_settings import ScheduleSettings
from cotrain.training.schedule import Schedule, factor
from cotrain.training.settings import EarlyStopping
from cotrain.training.stopping import Stopping, watched_score

Fresh = Callable[..., Model]
Rows = Callable[..., Any]


def test_scores_are_scikit_learns_and_do_not_depend_on_the_batches(fresh: Fresh, rows: Rows) -> None:
    model = fresh(dropout=0.5)
    x, y = rows(101)
    pairs = [(x[at : at + 7], {name: one[at : at + 7] for name, one in y.items()}) for at in range(0, 101, 7)]
    model.train()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found, whole = evaluate(model, pairs), evaluate(model, [(x, y)])
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    model.eval()
    with torch.no_grad():
        out = model.predict(Batch({"x": Field.dense(x)}))
    held = ~y["number"].isnan()
    rmse = math.sqrt(mean_squared_error(y["number"][held], out["number"][held, 0]))
    for scores in (found, whole):
        assert scores["yes"]["auc"] == pytest.approx(roc_auc_score(y["yes"], out["yes"][:, 0]))
        assert scores["number"]["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_gathering_leaves_out_rows_without_a_target_and_keeps_weights(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(30)
    held = ~y["number"].isnan()
    number = Field(y["number"].nan_to_num(), held)
    batch = Batch({"x": Field.dense(x)}, {"number": number}, weight=torch.arange(30.0))
    found = gather(fresh(), [batch, Batch({"x": Field.dense(x)}, {"yes": Field.dense(y["yes"])})])
    assert len(found["number"].output) == int(held.sum())
    assert found["number"].weight is not None
    assert found["number"].weight.tolist() == torch.arange(30.0)[held].tolist()
    assert found["yes"].weight is None
    assert set(gather(fresh(), [Batch({"x": Field.dense(x)})])) == set()


def test_validation_losses_are_the_models_own(fresh: Fresh, rows: Rows) -> None:
    model = fresh().eval()
    model.set_scales({"yes": 0.7, "number": 3.0})
    steps = list(Feed(rows(50), tasks=model.tasks, size=50, shuffle=False).epoch(0))
    with torch.no_grad():
        direct = model.train().losses(steps[0])
    found = mean_losses(model, gather(model, steps))
    assert found == pytest.approx({task: float(loss) for task, loss in direct.items()}, rel=1e-6)


def test_the_best_constants_are_the_share_and_the_mean_under_row_weights(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(90)
    weight = torch.rand(90, generator=torch.Generator().manual_seed(1))
    held = ~y["number"].isnan()
    targets = {"yes": Field.dense(y["yes"]), "number": Field(y["number"].nan_to_num(), held)}
    batch = Batch({"x": Field.dense(x)}, targets, weight=weight)
    found = constants(fresh().tasks, [[batch.select(torch.arange(at, at + 30))] for at in (0, 30, 60)])
    share = float((weight * y["yes"]).sum() / weight.sum())
    assert torch.sigmoid(found.outputs["yes"]).item() == pytest.approx(share, rel=1e-6)
    assert found.losses["yes"] == pytest.approx(log_loss(y["yes"], [share] * 90, sample_weight=weight), rel=1e-5)
    mean = float((weight * y["number"].nan_to_num() * held).sum() / (weight * held).sum())
    assert found.outputs["number"].item() == pytest.approx(mean, rel=1e-5)
    spread = float((weight[held] * (y["number"][held] - mean) ** 2).sum() / weight[held].sum())
    assert found.losses["number"] == pytest.approx(spread, rel=1e-5)
    assert found.steps == 3


def test_a_perfect_constant_and_an_unlabelled_task_scale_nothing(fresh: Fresh) -> None:
    empty = Field(torch.zeros(4), torch.zeros(4, dtype=torch.bool))
    batch = Batch({"x": Field.dense(torch.zeros(4, 3))}, {"yes": empty, "number": Field.dense(torch.full((4,), 2.0))})
    found = constants(fresh().tasks, [[batch]])
    assert found.scales() == {"number": 1.0}


def test_cost_counts_parameters_and_products(fresh: Fresh, rows: Rows) -> None:
    model = fresh().train()
    found = cost(model, Batch({"x": Field.dense(rows(16)[0])}))
    assert found["parameters"] == (3 * 8 + 8) + 2 * (8 + 1)
    assert found["flops_per_row"] == 2 * (3 * 8 + 8 + 8)
    assert model.training


class Three(nn.Module):
    """A row of twelve numbers as three words of width four, through a layer of PyTorch's own transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.reshape(len(x), 3, 4))
        return found


def test_cost_counts_attention_and_fused_layers() -> None:
    model = Model(encoder=OwnNetwork(network=Three, settings={}), tasks=[Binary("yes"), Regression("number")])
    batch = Batch({"x": Field.dense(torch.randn(5, 12))})
    projections, feedforward = 2 * 3 * (4 * 12 + 4 * 4), 2 * 3 * (4 * 8 + 8 * 4)
    attention = 2 * (2 * 3 * 3 * 2 + 2 * 3 * 3 * 2)  # two heads: scores, and the mixture they weigh
    assert cost(model.meet(batch), batch)["flops_per_row"] == projections + feedforward + attention + 2 * (2 * 4)
    assert torch.backends.mha.get_fastpath_enabled()


def test_peak_memory_sees_what_was_held(fresh: Fresh) -> None:
    peak = PeakMemory(torch.device("cpu"))
    before = peak.mib()
    held = torch.ones(32 * 2**20)
    assert held.sum() > 0
    del held
    assert peak.mib() > before + 100
    if peak.fresh:
        assert PeakMemory(torch.device("cpu")).mib() < before + 100


class Fixed:
    """A task whose error is what its score says."""

    @staticmethod
    def error(scores: dict[str, float]) -> float:
        return scores["e"]


def test_the_watched_score_is_the_mean_gain_of_the_tasks_that_can_be_measured() -> None:
    tasks: Any = {name: Fixed() for name in "abcd"}
    constant = {"a": {"e": 0.5}, "b": {"e": 2.0}, "c": {"e": math.nan}, "d": {"e": 0.0}}
    scores = {"a": {"e": 0.25}, "b": {"e": 3.0}, "c": {"e": 0.1}, "d": {"e": 0.1}}
    assert watched_score("gain", tasks, scores, constant, {}) == pytest.approx((0.5 - 0.5) / 2)
    assert watched_score("a", tasks, scores, constant, {}) == 0.5
    assert math.isnan(watched_score("gain", tasks, {**scores, "a": {"e": math.nan}}, constant, {}))
    assert watched_score("c", tasks, scores, constant, {"c": 0.75}) == 0.25


def test_patience_counts_epochs_without_more_than_the_least_gain() -> None:
    stopping = Stopping(EarlyStopping(patience=2, min_delta=0.1))
    assert [stopping.update(score, 1, 1) for score in (0.5, 0.55, 0.7, 0.75, math.nan)] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert stopping.enough
    assert stopping.best == 0.75
    other = Stopping(EarlyStopping(patience=2))
    assert not other.update(math.nan, 1, 1)
    other.load_state_dict(other.state_dict())
    assert other.update(-5.0, 2, 2)


def test_rates_follow_their_formulas() -> None:
    cosine = ScheduleSettings(name="cosine", warmup=0.2, floor=0.1)
    found = [factor(cosine, step, 10) for step in range(10)]
    assert found[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert found[6] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 4 / 8)))
    assert all(a > b for a, b in pairwise(found[2:]))
    cycle = [factor(ScheduleSettings(name="one_cycle"), step, 100) for step in range(100)]
    assert cycle[0] == pytest.approx(1 / 25)
    assert max(cycle) == cycle[30] == 1
    assert cycle[-1] < 0.001
    parameter = torch.nn.Parameter(torch.zeros(1))
    plateau = Schedule(
        ScheduleSettings(name="plateau", patience=1, factor=0.5), torch.optim.SGD([parameter], lr=0.8), None
    )
    for score in (1.0, 0.9, 0.8, 0.7, 0.6):
        plateau.watched(score)
    plateau.set(5)
    assert plateau.lr == pytest.approx(0.8 * 0.25)
