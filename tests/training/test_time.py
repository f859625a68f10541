"""A time limit: kept, with the learning rate at its end and time left for the scores; the same again when resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cotrain.core.errors import ConfigError
from cotrain.model.compose import Model
from cotrain.training.clock import Clock
from cotrain.training.durations import seconds_in
from cotrain.training.loop import Trainer
from cotrain.training.optimizer_settings import ScheduleSettings
from cotrain.training.schedule import Schedule, factor
from cotrain.training.session import Session
from cotrain.training.settings import settings_from

Fresh = Callable[..., Model]
Rows = Callable[..., Any]


class Hands:
    """A clock that goes by steps, so that a time limit is the same in every run: `each` seconds a step, and nothing else takes time."""

    def __init__(self, patch: pytest.MonkeyPatch, *, each: float = 1.0) -> None:
        def spent(clock: Clock) -> float:
            return each * self.steps_of[clock]()

        self.steps_of: dict[Clock, Callable[[], int]] = {}
        made = Session.__init__

        def noted(session: Session, *args: Any, **more: Any) -> None:
            made(session, *args, **more)
            self.steps_of[session.clock] = lambda: session.at.total

        patch.setattr(Session, "__init__", noted)
        patch.setattr(Clock, "spent", property(spent))


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90s", 90), ("90", 90), ("2m", 120), ("2 min", 120), ("1.5h", 5400), ("1h30m", 5400), ("1h 5s", 3605), (7, 7), (0.5, 0.5)],
)  # fmt: skip
def test_lengths_of_time_are_read(words: float | str, seconds: float) -> None:
    assert seconds_in("time_limit", words) == seconds == settings_from({"time_limit": words}).limit


@pytest.mark.parametrize("words", ["", "soon", "2 weeks", "m", "-3s", "3s2m", "1e3s"])
def test_what_is_no_length_of_time_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match=r"time_limit must be seconds, or words such as 90s, 2m or 1h30m"):
        settings_from({"time_limit": words})
    with pytest.raises(ConfigError, match=r"time_limit must be above 0"):
        settings_from({"time_limit": "0s"})


def test_the_rate_has_fallen_to_its_end_when_the_time_is_up(
    fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hands(monkeypatch)
    seen: list[tuple[int, float]] = []
    change = Schedule.set

    def watched(self: Schedule, step: int, progress: float = 0.0, timed: float = 0.0) -> None:
        change(self, step, progress, timed)
        seen.append((step, self.lr))

    monkeypatch.setattr(Schedule, "set", watched)
    train = {"epochs": 1000, "batch_size": 16, "time_limit": 20, "early_stopping": None, "schedule": {"name": "cosine", "floor": 0.1}}  # fmt: skip
    history = Trainer(fresh(), train=train).fit(rows(64), rows(32, 1))
    assert (history.stopped, seen[-1][0]) == ("time limit", 19)
    for step, rate in seen:
        assert rate == pytest.approx(2e-3 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 20))))


def test_steps_lead_where_they_are_further_than_time() -> None:
    settings = ScheduleSettings(name="cosine")
    schedule = Schedule(settings, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), 10, limited=True)
    schedule.set(6, timed=0.2)
    assert schedule.lr == pytest.approx(factor(settings, 6, 10))
    schedule.set(6, timed=0.9)
    assert schedule.lr == pytest.approx(factor(settings, 9, 10))
    endless = Schedule(settings, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), None, limited=True)
    endless.set(10**6, timed=0.5)
    assert endless.lr == pytest.approx(0.5)


def test_time_for_validation_and_for_the_final_scores_is_kept_free() -> None:
    clock = Clock(100.0, scored=3000)
    clock.before, clock.validation, clock.validated = 30.0, 10.0, 3000
    share = clock.look(rows=2000, steps=9)  # the scores of as many rows take as long as the validation
    assert share == pytest.approx(30 / 80, rel=1e-3)
    clock.before = 80.1
    clock.scored = 0
    clock.look(rows=10**9, steps=9)
    assert not clock.out
    clock.before = 90.1
    clock.look(rows=10**9, steps=9)
    assert clock.out
    assert clock.share == 1.0


def test_what_comes_before_the_first_step_says_nothing_of_the_pace() -> None:
    clock = Clock(100.0, scored=6000)
    clock.before = 40.0  # reading, finding a rate
    clock.begin()
    clock.look(rows=64, steps=1)
    assert not clock.out
    assert clock.share == pytest.approx(0.4, rel=1e-2)
    clock.before = 60.0  # 20 s for 2000 rows: a forward pass is a third, so the scores take 20 s
    assert clock.look(rows=2000, steps=30) == pytest.approx(60 / 80, rel=1e-2)


def test_a_slow_start_and_many_rows_to_score_leave_the_time_to_the_steps(
    fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Session._measured

    def slow(self: Session, *given: Any) -> Any:
        time.sleep(0.5)
        return measured(self, *given)

    monkeypatch.setattr(Session, "_measured", slow)
    for valid in (None, rows(200, 1)):
        train = {"epochs": 10_000, "batch_size": 16, "time_limit": 4, "early_stopping": None}
        history = Trainer(fresh(), train=train, scored=400).fit(rows(256), valid)
        assert history.records[-1]["step"] > 50


def test_under_a_limit_a_training_takes_no_longer(fresh: Fresh, rows: Rows) -> None:
    train = {"epochs": 10_000, "batch_size": 16, "time_limit": "1.5s", "early_stopping": None}
    history = Trainer(fresh(), train=train).fit(rows(256), rows(32, 1))
    assert history.stopped == "time limit"
    assert 0.5 < history.seconds < 3
    assert history.records[-1]["lr"] < 0.05 * history.records[0]["lr"]


def test_resumed_under_a_limit_it_goes_on_where_it_stood(
    tmp_path: Path, fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hands(monkeypatch)
    base = {"epochs": 50, "batch_size": 16, "time_limit": 30, "early_stopping": None, "checkpoint": {"every_steps": 4}}
    for averaging in (None, "ema", {"name": "swa", "start": 0.4}):
        name, train = str(averaging)[:12], {**base, "averaging": averaging}
        whole = fresh(dropout=0.3)
        history = Trainer(whole, train=train, folder=tmp_path / f"{name} whole").fit(rows(90), rows(32, 1))
        look, steps = Session.look_ahead, 0

        def dying(self: Session, look: Any = look) -> None:
            nonlocal steps
            steps += 1
            if steps in (7, 20):
                raise SystemError("killed")
            look(self)

        with monkeypatch.context() as patch:
            patch.setattr(Session, "look_ahead", dying)
            for _ in range(3):
                pieces = fresh(dropout=0.3)
                trainer = Trainer(pieces, train=train, folder=tmp_path / f"{name} pieces")
                try:
                    again = trainer.fit(rows(90), rows(32, 1), resume=True)
                except SystemError:
                    continue
        assert again.stopped == history.stopped == "time limit"
        assert [one["lr"] for one in again.records] == [one["lr"] for one in history.records]
        for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
            assert torch.equal(a, b)


def test_the_same_limit_again_ends_where_it_ended_and_a_longer_one_goes_on(
    tmp_path: Path, fresh: Fresh, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hands(monkeypatch)
    train = {"epochs": 50, "batch_size": 16, "time_limit": 10, "early_stopping": None}
    first = Trainer(fresh(), train=train, folder=tmp_path).fit(rows(64), rows(32, 1))
    again = Trainer(fresh(), train=train, folder=tmp_path).fit(rows(64), rows(32, 1), resume=True)
    assert again.records == first.records
    longer = Trainer(fresh(), train={**train, "time_limit": 20}, folder=tmp_path)
    history = longer.fit(rows(64), rows(32, 1), resume=True)
    assert history.records[-1]["step"] == 20
    assert history.records[: len(first.records)] == first.records
