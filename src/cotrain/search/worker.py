"""One worker's loop: ask, run, tell, until the study is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cotrain.core.errors import CotrainError
from cotrain.search.study import Study
from cotrain.search.trial import Trial

FAILURES: tuple[type[Exception], ...] = (CotrainError, ArithmeticError, RuntimeError, MemoryError)
"""What a trial may raise and be a failed one: settings that do not go together, an overflow, no memory left on a device."""


class Pruned(Exception):  # noqa: N818  an event, no error
    """Raised inside a trial that is not worth going on with. values: what was measured of it all the same."""

    def __init__(self, values: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.values = dict(values or {})


@dataclass
class Running:
    """The trial an objective runs: `parameters`, `seed`, and a place for intermediate values."""

    study: Study
    trial: Trial
    parameters: Mapping[str, object] = field(init=False)
    seed: int = field(init=False)

    def __post_init__(self) -> None:
        self.parameters, self.seed = self.trial.parameters, self.trial.seed

    def report(self, step: int, value: float) -> None:
        """The objective's value after so many steps. Raises Pruned if the trial should end here."""
        self.trial, end = self.study.report(self.trial, step, value)
        if end:
            raise Pruned


Objective = Callable[[Running], Mapping[str, float]]


def work(study: Study, objective: Objective, *, until: float | None = None) -> int:
    """Run trials until the study is done, or `time.monotonic()` has passed `until`; how many this worker finished.

    The objective is given a `Running` and answers {name: number}. What it raises of `FAILURES` makes the trial a failed one; anything else
    gives the trial back for another worker to begin, and goes on to the caller.
    """
    finished = 0
    while (trial := study.ask(until=until)) is not None:
        running = Running(study, trial)
        begun = time.perf_counter()
        try:
            with study.held(trial):
                values = objective(running)
            told = study.tell(running.trial, values, seconds=time.perf_counter() - begun)
        except Pruned as ended:
            told = study.prune(running.trial, ended.values, seconds=time.perf_counter() - begun)
        except FAILURES as error:
            told = study.fail(running.trial, f"{type(error).__name__}: {error}", seconds=time.perf_counter() - begun)
        except BaseException:
            study.store.give_back(running.trial)
            raise
        finished += told
    return finished
