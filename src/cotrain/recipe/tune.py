"""Evaluate, adjust, evaluate: the open values of a config chosen by trials on the validation rows; the best, trained again, meets the test.

A trial trains the network of one closed config with the config's own seed, on all training rows or on `tune.rows` of them, and is judged on the
validation rows alone. `gain` is the mean over tasks
of 1 - error / error of a single-task network of the values the search begins with. The winner and, as a baseline of equal chance, the
best of as many single-task trials are then compared with several seeds (`cotrain.recipe.compare`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cotrain.core.errors import ConfigError, StudyError
from cotrain.core.state import plain, write_json
from cotrain.data.drawn import RowData
from cotrain.data.sources import sources_of
from cotrain.model.compose import Model
from cotrain.recipe.auto_groups import find_groups, with_groups
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.build import build_choice
from cotrain.recipe.config import Config, config_from_source
from cotrain.recipe.fewer import fewer
from cotrain.recipe.folder import read_json
from cotrain.recipe.network import Trained, gathered, shown, standing, train_network, untrained
from cotrain.recipe.open_config import OpenConfig, opened
from cotrain.recipe.reader import Choice
from cotrain.recipe.rows import Rows, load_rows, read_alike
from cotrain.recipe.searches import searches
from cotrain.recipe.tune_settings import GAIN, KNOWN_BEFORE, TuneSettings
from cotrain.recipe.yaml_source import Source
from cotrain.search import domains
from cotrain.search.gallery import PRUNERS, SAMPLERS
from cotrain.search.problem import Objective, Problem
from cotrain.search.space import Parameter
from cotrain.search.study import Study
from cotrain.search.worker import Pruned, Running
from cotrain.training.cost import cost
from cotrain.training.evaluate import scores
from cotrain.training.latency import latency_ms
from cotrain.training.watch import Silent

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A config with open values, ready to be searched.

    source: the raw config, with the folder that relative paths start at. open: its open values. config: the config of the values it begins
    with. single: without sharing, whose open values are then none.
    """

    source: Source
    folder: Path | None
    table: Any
    open: OpenConfig
    config: Config
    single: bool = False

    @property
    def settings(self) -> TuneSettings:
        return self.config.tune

    def closed(self, parameters: Mapping[str, Any]) -> Config:
        """The config of one trial. Raises ConfigProblems if its values do not go together."""
        return _closed(self.source, self.open, parameters, self.folder, self.table)

    @property
    def problem(self) -> Problem:
        """What is searched, and for what."""
        objectives = (GAIN,) if self.single else self.settings.objectives
        return Problem(
            self.open.space,
            tuple(Objective(name, maximize=name == GAIN) for name in objectives),
            () if self.single else self.settings.constraints,
        )

    @property
    def digest(self) -> str:
        """A word for everything but the space that a trial depends on: another config is another study; more trials are not."""
        apart = ("tune", "compare", "affinity", "name")
        trees: list[Any] = [
            {key: one for key, one in tree.items() if key not in apart}
            for tree in (self.config.as_dict(), self.source.tree)
        ]
        trees += [] if self.settings.rows is None else [self.settings.rows]
        return hashlib.sha256(json.dumps(plain(trees), sort_keys=True, default=str).encode()).hexdigest()[:16]

    def study(self, place: str, *, name: str | None = None) -> Study:
        """The study at a place, begun or gone on with. The values the search begins with are its first trial, but for a grid's, which has an order."""
        settings = self.settings
        sampler, problem = build_choice(SAMPLERS, settings.sampler), self.problem
        begin = () if self.open.default is None or sampler.most(problem) is not None else (self.open.default,)
        return Study(
            problem,
            sampler,
            trials=settings.trials,
            seed=settings.seed,
            pruner=None if settings.pruner is None else build_choice(PRUNERS, settings.pruner),
            place=place,
            name=name or self.config.name + ("-single" if self.single else ""),
            config=self.digest,
            first=begin,
            lease=settings.lease,
        )

    def apart(self) -> Tuning | None:
        """The same search for single-task networks: no sharing, and nothing that only sharing has; None if nothing is left open."""
        tree = {key: value for key, value in self.source.tree.items() if key not in ("sharing", "balance")}
        source = dataclasses.replace(self.source, tree={**tree, "sharing": "none"})
        if not searches(source.tree):
            return None
        return dataclasses.replace(self, source=source, open=opened(source.tree), single=True)


def tuning(source: Source, folder: Path | None, *, table: Any = None, files: bool = True) -> Tuning:
    """The search a raw config asks for. files: whether its tables must be there. Raises ConfigProblems for everything that is wrong in it."""
    found = opened(source.tree, source.origin)
    begin = found.default or found.space.settle(middle)
    return Tuning(source, folder, table, found, _closed(source, found, begin, folder, table, files))


def middle(parameter: Parameter) -> Any:
    """The middle of a range, the first option of a choice."""
    domain = parameter.domain
    return domain.options[0] if isinstance(domain, domains.Choice) else domain.at(0.5)


def _closed(
    source: Source,
    found: OpenConfig,
    parameters: Mapping[str, Any],
    folder: Path | None,
    table: Any,
    files: bool = True,
) -> Config:
    origin = found.origin(source.origin, parameters)
    return config_from_source(
        dataclasses.replace(source, tree=found.closed(parameters), origin=origin), folder, table=table, files=files
    )


class Trials:
    """Runs trials: rows are read once for every way of reading them, and the baseline of the gain is trained once.

    baseline: {task: error of a single-task network on the validation rows}, made where `folder` does not hold it yet. say: is told when it is.
    """

    def __init__(self, tuning: Tuning, folder: Path, say: Say | None = None) -> None:
        self.tuning, self.folder, self.say = tuning, folder, say
        self._rows: dict[str, Rows] = {}
        self.baseline = self._baseline()
        gain_over(self.baseline, self.baseline)  # says before the first trial where there is nothing to gain

    def __call__(self, running: Running) -> dict[str, float]:
        """What the network of the trial's values reaches and costs; what is known of values that were tried before, as the seed is the same."""
        for other in running.study.trials():
            if other.state == "complete" and other.parameters == running.parameters:
                return dict(other.values)
        config = unwatched(self.tuning.closed(running.parameters))
        if self.tuning.single:
            errors = self._alone(config)
            return {GAIN: gain_over(self.baseline, errors), **errors}
        rows = self.rows(config)
        watcher = None if self.tuning.settings.pruner is None else Reporting(running, self._judge(rows))
        groups = find_groups(config, rows)
        closed = with_groups(config, groups)
        self._within_bounds(closed, rows)
        done = train_network(closed, rows.data, rows.specs, rows.tasks, seed=config.seed, watcher=watcher)
        errors, cost = validated(done, rows), costs(done, rows)
        if groups is not None:
            cost["seconds"] += groups["seconds"]
        return {GAIN: gain_over(self.baseline, errors), **errors, **cost}

    def _within_bounds(self, config: Config, rows: Rows) -> None:
        """Raises Pruned with its costs for a network that breaks a bound before it is trained."""
        bounds = [one for one in self.tuning.problem.constraints if one.name in KNOWN_BEFORE]
        if bounds:
            data, tasks = standing(rows.data, rows.tasks)
            specs = {one.source: rows.specs[one.source] for one in sources_of(data)}
            measured = costs_before(untrained(config, data, specs, tasks, seed=config.seed), data)
            if any(one.excess(measured[one.name]) > 0 for one in bounds):
                raise Pruned(measured)

    def _alone(self, config: Config) -> dict[str, float]:
        """{task: error on the validation rows} of a network a task."""
        rows = self.rows(config)
        alone = dataclasses.replace(config, sharing=Choice("hard"), balance=Balance("sum"))
        errors: dict[str, float] = {}
        for task in rows.tasks:
            errors |= validated(train_network(alone, rows.data, rows.specs, [task], seed=config.seed), rows)
        return errors

    def _judge(self, rows: Rows) -> Callable[[Mapping[str, Any]], float | None]:
        """The objective of one epoch, from its scores on the validation rows."""
        tasks = {task.name: task for task in rows.tasks}
        name = self.tuning.settings.objectives[0]

        def judged(valid: Mapping[str, Any]) -> float | None:
            errors = {one: tasks[one].error(reached) for one, reached in valid.items()}
            return gain_over(self.baseline, errors) if name == GAIN else errors.get(name)

        return judged

    def rows(self, config: Config) -> Rows:
        """The rows of a config, read once for all trials that read them alike."""
        key = read_alike(config)
        if key not in self._rows:
            self._rows.clear()
            most = self.tuning.settings.rows
            self._rows[key] = load_rows(config) if most is None else fewer(load_rows(config), most, config.seed)
            if not self._rows[key].data.counts.get("valid"):
                raise ConfigError(
                    "tuning chooses by validation rows, and there are none; give data.split a share for valid"
                )
        return self._rows[key]

    def _baseline(self) -> dict[str, float]:
        kept = self.folder / "baseline.json"
        if kept.exists():
            return dict(read_json(kept))
        if self.say is not None:
            self.say(f"first a network for each task ({', '.join(self.tuning.config.tasks)}): gains are over these")
        errors = self._alone(unwatched(self.tuning.config))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(kept, errors)
        return errors


def unwatched(config: Config) -> Config:
    """The config of a training whose gradients nobody will look at."""
    return dataclasses.replace(config, train=dataclasses.replace(config.train, diagnose=None))


class Reporting(Silent):
    """Tells the study how a trial stands after every epoch, in the unit of its objective, so that a pruner may end it."""

    def __init__(self, running: Running, judge: Callable[[Mapping[str, Any]], float | None]) -> None:
        self.running, self.judge = running, judge

    def ended_epoch(self, record: Mapping[str, Any]) -> None:
        value = self.judge(record["valid"]) if record.get("valid") else None
        if value is not None:
            self.running.report(int(record["epoch"]), value)


def validated(done: Trained, rows: Rows) -> dict[str, float]:
    """{task: primary error on the validation rows}."""
    reached = scores(done.model.tasks, gathered(done.model, rows.data, "valid"))
    return {name: task.error(reached[name]) for name, task in done.model.tasks.items() if name in reached}


def gain_over(baseline: Mapping[str, float], errors: Mapping[str, float]) -> float:
    """The mean over tasks of 1 - error / baseline; tasks whose baseline is perfect are left out.

    >>> round(gain_over({"a": 0.5, "b": 2.0}, {"a": 0.4, "b": 2.2}), 3)
    0.05
    """
    gains = [1 - error / baseline[name] for name, error in errors.items() if baseline.get(name, 0.0) > 0]
    if not gains:
        raise StudyError("the single-task networks make no error on the validation rows, so there is nothing to gain")
    return sum(gains) / len(gains)


def costs(done: Trained, rows: Rows) -> dict[str, float]:
    """What the trained network costs (`COSTS`)."""
    found = {name: done.cost[name] for name in ("parameters", "flops_per_row", "peak_memory_mib")}
    found |= {"seconds": done.cost["train_seconds"], "latency_ms": _latency(done.model, rows.data)}
    return {name: float(value) for name, value in found.items() if value is not None}


def costs_before(model: Model, data: RowData) -> dict[str, float]:
    """What of this is known of a network that was not trained (`KNOWN_BEFORE`)."""
    return {**cost(model, shown(data)), "latency_ms": _latency(model, data)}


def _latency(model: Model, data: RowData) -> float:
    return latency_ms(model, [one.first("valid", 1) for one in sources_of(data) if one.counts.get("valid")])
