"""A study: what is searched, by which sampler, and the trials so far. Ask for a trial, run it, tell what came of it."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cotrain.core.errors import ConfigError, StudyError
from cotrain.core.gallery import settings_of
from cotrain.search.draws import seed32
from cotrain.search.fits import refuse_pruning, refuse_unfit
from cotrain.search.generations import drawn
from cotrain.search.problem import Problem
from cotrain.search.protocol import Pruner, Sampler
from cotrain.search.space import Parameters
from cotrain.search.store import Store
from cotrain.search.trial import Trial

DRAWS = 20
"""So often a point that nobody is at is drawn, before one is run beside itself; a small space has none left."""

POLL = 0.25
"""Seconds between two looks for something to do, at most; a quarter of the lease where that is less."""


class Study:
    """Trials of one problem, shared by all who open the same place and name.

    problem: space, objectives, constraints. sampler, pruner: settings objects. trials: how many in all (a grid may have fewer). seed: what
    all draws come from. place: "memory", a file, sqlite:///FILE or postgresql://USER@HOST/NAME. name: one place holds many studies.
    config: a word for everything else that a trial depends on (a hash of the config); a study of another one is refused. first: parameters of the
    first trials (good guesses), asked for once, however many workers begin the study. lease: seconds
    after which the trial of a worker that fell silent is begun again. attempts: how often at most.

    >>> from cotrain.search.problem import Objective
    >>> from cotrain.search.random_search import Random
    >>> from cotrain.search.space import Space
    >>> problem = Problem(Space.from_json({"x": {"low": -1.0, "high": 1.0}}), (Objective("error"),))
    >>> study = Study(problem, Random(), trials=3)
    >>> while (trial := study.ask()) is not None:
    ...     told = study.tell(trial, {"error": trial.parameters["x"] ** 2})
    >>> [trial.state for trial in study.trials()]
    ['complete', 'complete', 'complete']
    """

    def __init__(
        self,
        problem: Problem,
        sampler: Sampler,
        *,
        trials: int,
        seed: int = 0,
        pruner: Pruner | None = None,
        place: str = "memory",
        name: str = "study",
        config: str = "",
        first: Sequence[Mapping[str, Any]] = (),
        lease: float = 60.0,
        attempts: int = 3,
    ) -> None:
        refuse_unfit(sampler, problem)
        if pruner is not None:
            refuse_pruning(pruner, problem)
        if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
            raise ConfigError(f"trials: a whole number of at least 1 is expected, got {trials!r}")
        self.problem, self.sampler, self.pruner, self.seed = problem, sampler, pruner, seed
        most = sampler.most(problem)
        self.wanted = trials if most is None else min(trials, most)
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        definition = {
            **problem.to_json(),
            "sampler": described(sampler),
            "pruner": described(pruner),
            "seed": seed,
            "config": config,
        }
        guesses = [problem.space.checked(one) for one in first]
        self.store = Store(place, name, definition, self.wanted, first=guesses, lease=lease, attempts=attempts)

    def ask(self, *, until: float | None = None) -> Trial | None:
        """The next trial to run, with its parameters and seed; None when all wanted trials are finished.

        Where nothing is left to begin but others still run theirs, it waits for them: one may die, and its trial is then begun again.
        until: a time of `time.monotonic()` after which it answers None all the same.
        """
        pause = 0.01
        while until is None or time.monotonic() < until:
            claim = self.store.claim(self.worker)
            if claim is not None:
                trial = claim if claim.seed else self._proposed(claim)
                if trial is not None:
                    return trial
            elif self.store.left() == 0:
                return None
            time.sleep(pause)
            pause = min(2 * pause, POLL, self.store.lease / 4)
        return None

    def _proposed(self, trial: Trial) -> Trial | None:
        """The trial with parameters and seed; None if it was given to another worker while they were sought."""
        parameters = dict(trial.parameters)
        if not parameters:
            others = self.store.trials()
            finished = [other for other in others if other.finished]
            parameters = self.sampler.ask(self.problem, finished, trial.number, self.seed)
            parameters = self._elsewhere(
                parameters, [dict(one.parameters) for one in others if not one.finished], trial.number
            )
        trial = replace(trial, parameters=parameters, seed=1 + seed32(self.seed, "trial", trial.number) // 2)
        return trial if self.store.write(trial) else None

    def _elsewhere(self, parameters: Parameters, taken: Sequence[Parameters], number: int) -> Parameters:
        """The parameters, or an even draw where another worker is at these very ones: samplers do not look at running trials."""
        for count in range(DRAWS):
            if parameters not in taken:
                break
            parameters = drawn(self.problem.space, seed32(self.seed, "elsewhere", number, count))
        return parameters

    def add(self, parameters: Mapping[str, Any]) -> int:
        """Ask for a trial of these parameters, a good guess or what an earlier study found; the number it has."""
        return self.store.add(self.problem.space.checked(parameters))

    def tell(self, trial: Trial, values: Mapping[str, float], *, seconds: float = 0.0) -> bool:
        """What came of a trial. A number that is wanted and missing, or not finite, makes it a failed one.

        False: the trial was given to another worker meanwhile, and this answer is dropped.
        """
        plain = {name: float(value) for name, value in values.items()}
        for name in self.problem.wanted():
            if not math.isfinite(plain.get(name, math.nan)):
                found = plain.get(name, "nothing")
                return self.fail(trial, f"'{name}' should be a finite number, and is {found}", seconds=seconds)
        finite = {name: value for name, value in plain.items() if math.isfinite(value)}
        return self.store.write(trial.completed(finite, seconds))

    def fail(self, trial: Trial, error: str, *, seconds: float = 0.0) -> bool:
        """The trial came to nothing; it counts as finished. False: as in `tell`."""
        return self.store.write(replace(trial, state="failed", error=error, seconds=seconds))

    def prune(self, trial: Trial, values: Mapping[str, float] | None = None, *, seconds: float = 0.0) -> bool:
        """The trial was ended early. values: what was measured all the same, such as what breaks a bound. False: as in `tell`."""
        finite = {name: float(value) for name, value in (values or {}).items() if math.isfinite(value)}
        return self.store.write(replace(trial, state="pruned", values=finite, seconds=seconds))

    def report(self, trial: Trial, step: int, value: float) -> tuple[Trial, bool]:
        """The running trial with an intermediate value of the objective, and whether it should end here.

        Raises StudyError if the trial was given to another worker.
        """
        trial = replace(trial, intermediate={**trial.intermediate, int(step): float(value)})
        if not self.store.write(trial):
            raise StudyError(f"trial {trial.number} was given to another worker, as this one was silent for too long")
        if self.pruner is None:
            return trial, False
        return trial, self.pruner.prune(self.problem, self.store.trials(), trial)

    def trials(self) -> tuple[Trial, ...]:
        """All trials by number, those that run or wait as well."""
        return self.store.trials()

    def close(self) -> None:
        """Give this thread's connection back; the study stays where it lives."""
        self.store.close()

    @contextmanager
    def held(self, trial: Trial) -> Iterator[None]:
        """While inside, the trial's lease is renewed, so that it stays with this worker however long it takes."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(self.store.lease / 3):
                try:
                    if not self.store.renew(trial):
                        return
                except StudyError:
                    continue  # `write` says so, if it lasts
            self.store.close()

        thread = threading.Thread(target=renew, name=f"trial {trial.number}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def described(method: Any) -> dict[str, Any] | None:
    """A sampler or pruner as plain values: its name and its settings."""
    if method is None:
        return None
    return {"name": method.name} | {setting: getattr(method, setting) for setting in settings_of(type(method))}
