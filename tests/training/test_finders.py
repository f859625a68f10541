"""Rates and batch sizes are found by their rules, leave everything as it was, and stay with a training that is resumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cotrain.balance.nash_mtl import NashMTL
from cotrain.core.errors import ConfigError, TrainingError
from cotrain.core.fields import Batch
from cotrain.data.sample import EncodedData
from cotrain.model.compose import Model
from cotrain.recipe.network import TrainRows
from cotrain.tasks.regression import Regression
from cotrain.training import batch_finder, session
from cotrain.training.batch_finder import find_batch_size, measure_sizes, size_for
from cotrain.training.feed import Feed
from cotrain.training.loop import Trainer
from cotrain.training.lr_finder import NoTimeError, chosen_from, find_lr, range_test
from cotrain.training.settings import settings_from

Fresh = Callable[..., Model]
Rows = Callable[..., Any]


def bits(model: nn.Module) -> list[float]:
    return [value for one in [*model.parameters(), *model.buffers()] for value in one.detach().reshape(-1).tolist()]


def parabola() -> tuple[Model, Any]:
    """y = 0 from a weight of 1: the loss is w^2 and a plain step multiplies w by 1 - 2 lr, so that it diverges from lr = 1 on."""
    model = Model(trunk=nn.Identity(), heads={"y": nn.Linear(1, 1, bias=False)}, tasks=[Regression("y")])
    x = torch.ones(16, 1)
    data = (x, {"y": torch.zeros(16)})
    model.meet(Feed(data, tasks=["y"]).peek(1)[0][0])
    nn.init.ones_(next(model.parameters()))
    return model, data


def test_the_range_test_follows_a_literal_loop_and_finds_a_rate_below_divergence() -> None:
    model, data = parabola()
    train = {"batch_size": 16, "optimizer": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}, "clip": None}
    found = find_lr(model, data, train=train)
    w, mean, share = 1.0, 0.0, 1.0
    rates, losses = [], []
    for place in range(100):
        rate = 1e-6 * 1e7 ** (place / 99)
        mean, share = 0.9 * mean + 0.1 * w * w, 0.9 * share
        smooth = mean / (1 - share)
        if losses and smooth > 4 * min(losses):
            break
        rates.append(rate)
        losses.append(smooth)
        w *= 1 - 2 * rate
    assert found.rates == pytest.approx(rates)
    assert found.losses == pytest.approx(losses, rel=1e-4)
    assert found.lr == pytest.approx(rates[losses.index(min(losses))] / 10)
    assert 0.05 < found.lr < 1
    assert found.lr < found.steepest * 10


def test_finding_a_rate_leaves_network_generators_and_rows_as_they_were(fresh: Fresh, rows: Rows) -> None:
    model = fresh(dropout=0.3)
    before, state = bits(model), torch.get_rng_state()
    iterator = iter([rows(32, seed) for seed in range(3)])
    feed: Any = Feed(iterator, tasks=model.tasks)
    found = find_lr(model, feed.epoch, train={"batch_size": 16})
    assert bits(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert found == find_lr(model, [rows(32, seed) for seed in range(3)], train={"batch_size": 16})


def test_a_network_that_explodes_at_once_is_answered(fresh: Fresh, rows: Rows) -> None:
    x, y = rows(64)
    y["number"] = torch.full((64,), 1e30)
    with pytest.raises(TrainingError, match=r"train\.optimizer\.lr: auto found no rate"):
        find_lr(fresh(), (x, y))
    with pytest.raises(ConfigError, match="0 < low < high"):
        find_lr(fresh(), rows(64), low=1.0, high=0.1)
    assert chosen_from([1.0, 2.0], [3.0, 4.0]).lr == 0.1


def test_a_rate_found_trains_is_told_and_a_resumed_training_keeps_it(tmp_path: Path, fresh: Fresh, rows: Rows) -> None:
    train = {"epochs": 3, "batch_size": 16, "optimizer": {"lr": "auto"}, "checkpoint": {"every_steps": 2}}
    whole = fresh(dropout=0.3)
    history = Trainer(whole, balancer=NashMTL(), train=train, folder=tmp_path / "a").fit(rows(64), rows(32, 1))
    lr = history.found["lr"]
    assert 1e-5 < lr < 1
    plain = fresh(dropout=0.3)
    Trainer(plain, balancer=NashMTL(), train={**train, "optimizer": {"lr": lr}}).fit(rows(64), rows(32, 1))
    assert bits(plain) == bits(whole)

    class StopError(Exception):
        pass

    def interrupted(record: Any) -> None:
        raise StopError

    first = Trainer(fresh(dropout=0.3), balancer=NashMTL(), train=train, folder=tmp_path / "b")
    first.watcher.ended_epoch = interrupted  # type: ignore[method-assign]
    with pytest.raises(StopError):
        first.fit(rows(64), rows(32, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cotrain.training.session.range_test", lambda *a, **b: pytest.fail("found again"))
        resumed = fresh(dropout=0.3)
        again = Trainer(resumed, balancer=NashMTL(), train=train, folder=tmp_path / "b").fit(
            rows(64), rows(32, 1), resume=True
        )
    assert again.found == history.found
    assert bits(resumed) == bits(whole)


def timed(seconds: dict[int, float], asked: list[int]) -> Callable[[], float]:
    """A clock by which a step of each size takes so many seconds."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += seconds[asked[-1]]
        return now

    return clock


@pytest.mark.parametrize(
    ("exponent", "expected"),
    [(0.0, 512), (1.0, 64), (0.8, 512), (0.95, 64)],
)
def test_the_size_doubles_as_long_as_a_tenth_more_rows_a_second_come_of_it(
    fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch, exponent: float, expected: int
) -> None:
    asked: list[int] = []
    whole = Feed.one_of

    def noted(self: Feed, size: int) -> list[Batch]:
        asked.append(size)
        return whole(self, size)

    monkeypatch.setattr(Feed, "one_of", noted)
    model = fresh()
    feed = Feed(rows(512 * 40), tasks=model.tasks)
    before = bits(model)
    seconds = {2**power: 2.0 ** (power * exponent) for power in range(4, 14)}
    found = measure_sizes(model, feed, settings_from(None), clock=timed(seconds, asked))
    assert found.size == expected
    assert asked == [64, 128, 256, 512][: max(2, int(math.log2(expected)) - 5)]
    assert bits(model) == before
    assert feed.size == 512


def test_of_few_rows_the_size_follows_from_the_rows_and_an_epoch_keeps_40_steps(fresh: Fresh, rows: Rows) -> None:
    assert [size_for(n) for n in (1, 1279, 1280, 2560, 10**9)] == [16, 16, 32, 64, 8192]
    assert size_for(5120, accumulate=2) == 64
    found = find_batch_size(fresh(), rows(1300))
    assert (found.size, dict(found.speeds)) == (32, {})


def test_a_size_that_does_not_fit_into_memory_ends_the_search(
    fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def speed(model: Any, step: list[Batch], *rest: Any) -> float:
        if len(step[0]) > 128:
            raise MemoryError
        return float(len(step[0]))

    monkeypatch.setattr(batch_finder, "_speed", speed)
    assert find_batch_size(fresh(), rows(40 * 512)).size == 128


def test_batches_that_come_ready_made_have_their_size(fresh: Fresh, rows: Rows) -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_size: auto needs all rows at hand"):
        Trainer(fresh(), train={"epochs": 1, "batch_size": "auto"}).fit([rows(32)])


def test_a_size_found_trains_and_a_resumed_training_keeps_it(
    tmp_path: Path, fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": 2, "batch_size": "auto", "checkpoint": {"every_steps": 7}, "early_stopping": None}
    monkeypatch.setattr(batch_finder, "size_for", lambda rows, accumulate=1: 32)
    whole = fresh()
    history = Trainer(whole, train=train, folder=tmp_path).fit(rows(320), rows(32, 1))
    assert history.found == {"batch_size": 32}
    assert history.records[0]["step"] == 10
    plain = fresh()
    Trainer(plain, train={**train, "batch_size": 32}).fit(rows(320), rows(32, 1))
    assert bits(plain) == bits(whole)
    monkeypatch.setattr(batch_finder, "size_for", lambda rows, accumulate=1: pytest.fail("found again"))
    more = Trainer(fresh(), train={**train, "epochs": 3}, folder=tmp_path).fit(rows(320), rows(32, 1), resume=True)
    assert [one["step"] for one in more.records] == [10, 20, 30]


def test_a_table_gives_its_rows_in_any_size(rows: Rows) -> None:
    x, y = rows(90)
    whole = Feed((x, y), tasks=["yes", "number"]).one_of(90)[0]
    data = EncodedData(whole.inputs, whole.targets, splits={"train": torch.arange(90)})
    feed = Feed(TrainRows(data, 30, 0), tasks=["yes", "number"])
    assert (feed.rows, len(feed), len(feed.one_of(45)[0]), len(feed)) == (90, 3, 45, 3)
    feed.resize(10)
    assert (len(feed), len(next(feed.epoch(0))[0])) == (9, 10)


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by `step` seconds whenever it is looked at."""
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


def test_a_range_test_that_has_little_time_makes_fewer_steps_over_the_same_range() -> None:
    model, data = parabola()
    ready = [Feed(data, tasks=["y"]).peek(1)[0]]
    train = settings_from({"batch_size": 16, "optimizer": {"name": "sgd", "momentum": 0.0}, "clip": None})
    whole = range_test(model, ready, train, seed=0)
    brief = range_test(model, ready, train, seed=0, seconds=40.0, clock=ticking(1.0))
    assert len(brief.rates) < len(whole.rates) / 2
    assert brief.rates[1] / brief.rates[0] == pytest.approx(1e7 ** (1 / 39))
    with pytest.raises(NoTimeError, match="no time to find a rate"):
        range_test(model, ready, train, seed=0, seconds=2.0, clock=ticking(1.5))


def test_without_time_to_find_a_rate_the_default_is_taken_and_said(fresh: Fresh, rows: Rows, monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "FOR_RATE", 1e-9)
    train = {"epochs": 1, "optimizer": {"lr": "auto"}, "time_limit": 60}
    history = Trainer(fresh(), train=train).fit(rows(64))
    assert history.found["lr"] == 0.002
    assert any("had no time to find a rate" in note for note in history.notes)


def test_a_batch_size_that_would_take_too_long_is_not_measured(fresh: Fresh, rows: Rows) -> None:
    feed = Feed(rows(40 * 512), tasks=["yes", "number"], shuffle=False)
    found = measure_sizes(fresh(), feed, settings_from({"batch_size": "auto"}), clock=ticking(1.0), seconds=10.0)
    assert list(found.speeds) == [64]
