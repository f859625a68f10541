"""How a search is shown while it runs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from cotrain.cli.search_progress import LiveSearch, QuietSearch
from cotrain.search.domains import Float
from cotrain.search.problem import Constraint, Objective, Problem
from cotrain.search.space import Parameter, Space
from cotrain.search.trial import Trial

SPACE = Space((Parameter("train.optimizer.lr", Float(low=0.0, high=1.0)),))
PROBLEM = Problem(SPACE, (Objective("gain", maximize=True),), (Constraint("parameters", 1000),))


def trial(number: int, gain: float | None, parameters: float = 10.0) -> Trial:
    one = Trial(number=number, parameters={"train.optimizer.lr": 0.125 + number})
    return one if gain is None else one.completed({"gain": gain, "parameters": parameters}, 75.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def live() -> Iterator[tuple[LiveSearch, io.StringIO, Clock]]:
    clock, screen = Clock(), io.StringIO()
    view = LiveSearch(10, clock)
    view.live.console = Console(file=screen, width=80, force_terminal=True, no_color=True)
    yield view, screen, clock
    view.live.stop()


def test_without_a_terminal_there_is_a_line_for_every_finished_trial(capsys: pytest.CaptureFixture[str]) -> None:
    view = QuietSearch()
    view(PROBLEM, [])
    view(PROBLEM, [trial(0, None)])
    view(PROBLEM, [trial(0, 0.1), trial(1, None)])
    view(PROBLEM, [trial(0, 0.1), trial(1, None)])
    view(PROBLEM, [trial(0, 0.1), trial(1, 0.3, parameters=2000.0)])  # breaks the bound, so it is not the best
    view.close()
    assert capsys.readouterr().err.splitlines() == [
        "0 trials done, 1 running",
        "1 trials done, 1 running; best gain 0.1 (trial 0)",
        "2 trials done, 0 running; best gain 0.1 (trial 0)",
    ]


def test_a_terminal_shows_what_runs_and_the_best_first(live: tuple[LiveSearch, io.StringIO, Clock]) -> None:
    view, screen, clock = live
    view(PROBLEM, [])
    clock.now = 200.0
    view(PROBLEM, [trial(0, 0.1), trial(1, None), trial(2, 0.3), *(trial(number, 0.0) for number in range(3, 9))])
    drawn = screen.getvalue()
    assert "8 trials done, 1 running; best gain 0.3 (trial 2); 3 min 20 s" in drawn
    rows = [line.split() for line in drawn.splitlines() if " lr " in line]
    assert [row[0] for row in rows] == ["1", "2", "0", "3", "4", "5"]
    assert rows[0] == ["1", "running", "-", "lr", "1.12"]
    assert rows[1] == ["2", "1", "min", "15", "s", "0.3", "lr", "2.12"]


def test_a_line_closes_the_view_and_the_next_look_opens_it_again(
    live: tuple[LiveSearch, io.StringIO, Clock], capsys: pytest.CaptureFixture[str]
) -> None:
    view, screen, clock = live
    view.say("first")
    view(PROBLEM, [trial(0, 0.1)])
    view.say("picked")
    view.close()
    assert capsys.readouterr().err.splitlines() == [
        "first",
        "1 trials done, 0 running; best gain 0.1 (trial 0)",
        "picked",
    ]
    clock.now = 50.0
    view(PROBLEM, [trial(1, 0.2)])
    assert "best gain 0.2 (trial 1); 0 s" in screen.getvalue()  # the second search counts its own time
