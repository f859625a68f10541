"""Shows a search on stderr: a live table of trials on a terminal, else a line whenever another one is finished."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cotrain.cli.messages import coloured, say, width
from cotrain.cli.progress import spoken

if TYPE_CHECKING:
    from cotrain.search.problem import Problem
    from cotrain.search.trial import Trial

BEST = 5
"""Finished trials in the live table."""

SHOWN = 3
"""Objectives that a line or a row has room for."""


def standing(problem: Problem, trials: Sequence[Trial]) -> str:
    """How a search stands, in one line: trials done and running, the best value of each objective."""
    finished = sum(trial.finished for trial in trials)
    words = f"{finished} trials done, {sum(trial.state == 'running' for trial in trials)} running"
    kept = [trial for trial in trials if problem.feasible(trial)]
    for objective in problem.objectives[:SHOWN] if kept else ():
        best = min(kept, key=lambda trial: objective.loss(trial.values[objective.name]))
        words += f"; best {objective.name} {best.values[objective.name]:.4g} (trial {best.number})"
    return words


class QuietSearch:
    """A line whenever another trial is finished."""

    def __init__(self) -> None:
        self.seen = -1

    def __call__(self, problem: Problem, trials: Sequence[Trial]) -> None:
        """Look at the trials as they are now."""
        finished = sum(trial.finished for trial in trials)
        if trials and finished != self.seen:
            self.seen = finished
            say(standing(problem, trials))

    def say(self, text: str) -> None:
        """A line of its own."""
        say(text)

    def close(self) -> None:
        """Nothing is open."""


class LiveSearch:
    """One live view: how the search stands and the time spent; below, what runs now and the best trials with their values.

    It closes for every line that is said, and opens again with the next look.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self.most, self.clock = most, clock
        self.began: float | None = None
        self.last = ""
        console = Console(stderr=True, width=width(), no_color=not coloured(sys.stderr), highlight=False)
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __call__(self, problem: Problem, trials: Sequence[Trial]) -> None:
        """Draw the trials as they are now."""
        from rich import box
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self.began is None:
            self.began = self.clock()
            self.live.start()
        self.last = standing(problem, trials)
        objectives = problem.objectives[:SHOWN]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("trial", justify="right")
        table.add_column("took")
        for objective in objectives:
            table.add_column(objective.name, justify="right")
        table.add_column("values", overflow="ellipsis", no_wrap=True, ratio=1)
        first = problem.objectives[0]
        running = [trial for trial in trials if trial.state == "running"]
        best = sorted(filter(problem.feasible, trials), key=lambda trial: first.loss(trial.values[first.name]))
        for trial in [*running, *best[:BEST]]:
            reached = [f"{trial.values[one.name]:.4g}" if one.name in trial.values else "-" for one in objectives]
            took = "running" if trial.state == "running" else spoken(trial.seconds)
            table.add_row(str(trial.number), took, *reached, Text(values_of(trial)))
        finished = sum(trial.finished for trial in trials)
        bar = ProgressBar(total=self.most, completed=finished, width=min(60, width()))
        head = Text(f"{self.last}; {spoken(self.clock() - self.began)}")
        self.live.update(Group(head, bar, table), refresh=True)

    def say(self, text: str) -> None:
        """A line of its own, below which the view begins anew."""
        self.close()
        say(text)

    def close(self) -> None:
        """Take the view away; how the search stood stays as one line."""
        self.live.stop()
        if self.began is not None:
            say(self.last)
            self.began = None


def values_of(trial: Trial) -> str:
    """What was tried, the last word of each name.

    >>> from cotrain.search.trial import Trial
    >>> values_of(Trial(number=0, parameters={"train.optimizer.lr": 0.00123, "sharing": "mmoe"}))
    'lr 0.00123, sharing mmoe'
    """
    return ", ".join(
        f"{name.rpartition('.')[2]} {value:.3g}" if isinstance(value, float) else f"{name.rpartition('.')[2]} {value}"
        for name, value in trial.parameters.items()
    )


def search_progress(most: int) -> LiveSearch | QuietSearch:
    """The view that fits where stderr goes. most: trials."""
    return LiveSearch(most) if sys.stderr.isatty() else QuietSearch()
