"""Progress is a line now and then where there is no terminal, and one live view on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from cotrain.cli.progress import Counted, LiveProgress, Pace, QuietProgress
from cotrain.training.watch import Plan

PLAN = Plan(tasks=("income", "age"), epochs=4, steps=10)


def record(epoch: int) -> dict[str, object]:
    losses = {"income": 0.5 / epoch, "age": 1.0 / epoch}
    return {
        "epoch": epoch,
        "losses": losses,
        "score": 0.1 * epoch,
        "valid": {"income": {"auc": 0.9}, "age": {"rmse": 2.0}},
    }


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_that_of_the_steps_left() -> None:
    pace = Pace(PLAN, 0.0)
    assert pace.left(1, 5, 2.0) == pytest.approx(2.0 / 0.5 * 3.5)
    assert pace.left(3, 10, 12.0) == pytest.approx(4.0)


def test_a_resumed_training_counts_from_where_it_went_on() -> None:
    pace = Pace(Plan(tasks=("a",), epochs=10, steps=10, first_epoch=6), 0.0)
    assert pace.left(6, 10, 3.0) == pytest.approx(12.0)


def test_without_a_known_length_whole_epochs_are_counted() -> None:
    pace = Pace(Plan(tasks=("a",), epochs=3, steps=None), 0.0)
    assert pace.left(1, 7, 3.0) is None
    assert pace.left(2, 1, 4.0) == pytest.approx(8.0)


def test_quiet_lines_come_every_few_seconds_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    quiet = QuietProgress(clock)
    quiet.started(PLAN)
    for epoch in range(1, 5):
        for step in range(1, 11):
            clock.now += 0.3
            quiet.stepped(epoch, step, lambda: {"income": 0.25, "age": 0.75})
        quiet.ended_epoch(record(epoch))
    quiet.ended("epochs")
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert lines[0] == "training 2 tasks on cpu, at most 4 epochs"
    assert lines[1] == "epoch 2/4 step 7/10  income 0.2500  age 0.7500  7 s left"
    assert lines[-2].startswith("epoch 4/4  income 0.1250  age 0.2500  gain over the constant +0.400")
    assert lines[-1] == "training ended: epochs"
    assert len(lines) == 5


def test_many_tasks_fit_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = QuietProgress(Clock())
    quiet.started(PLAN)
    quiet.ended_epoch({"epoch": 1, "losses": {f"task{i}": 0.5 for i in range(9)}, "score": None})
    quiet.ended("epochs")
    assert "task4 0.5000  and 4 more" in capsys.readouterr().err


@pytest.fixture
def live() -> Iterator[tuple[LiveProgress, io.StringIO, Clock]]:
    clock, screen = Clock(), io.StringIO()
    view = LiveProgress(clock)
    view.live.console = Console(file=screen, width=80, force_terminal=True, no_color=True)
    yield view, screen, clock
    view.live.stop()


def test_the_live_view_shows_losses_scores_and_time_left(live: tuple[LiveProgress, io.StringIO, Clock]) -> None:
    view, screen, clock = live
    view.started(PLAN)
    clock.now += 1.0
    view.stepped(1, 5, lambda: {"income": 0.25, "age": 0.75})
    view.ended_epoch(record(1))
    clock.now += 1.0
    view.stepped(2, 5, lambda: {"income": 0.2, "age": 0.7})
    view.ended("early stopping")
    shown = screen.getvalue()
    assert "epoch 1/4, step 5/10, 7 s left" in shown
    assert "0.2500" in shown
    assert "auc 0.9" in shown
    assert "gain over the constant +0.100" in shown


def test_the_live_view_does_not_look_at_every_step(live: tuple[LiveProgress, io.StringIO, Clock]) -> None:
    view, _, clock = live
    looks = 0

    def losses() -> dict[str, float]:
        nonlocal looks
        looks += 1
        return {"income": 0.2, "age": 0.7}

    view.started(PLAN)
    for step in range(1, 101):
        clock.now += 0.01
        view.stepped(1, step, losses)
    assert 2 <= looks <= 5


def test_trainings_of_a_comparison_are_counted_with_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    say = Counted(6, 2, clock)
    for text in ("seed 0: single-task", "seed 0: joint", "seed 0: boosting", "  left out: why", "seed 1: single-task"):
        say(text)
        clock.now += 10.0 if text.startswith("seed") else 0.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["1/6  seed 0: single-task", "2/6  seed 0: joint"]
    assert lines[3:] == ["  left out: why", "4/6  seed 1: single-task, about 30 s left"]
