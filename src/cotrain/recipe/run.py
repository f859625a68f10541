"""A run: a trained network with everything that is needed to score it, to predict with it and to store it.

`fit` is the whole way from Python, `train` from a config, `load` from a folder.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from cotrain.core.errors import ConfigError, DataError, RunError, unknown
from cotrain.core.fields import MAIN
from cotrain.core.spec import Task
from cotrain.core.state import plain, write_json
from cotrain.data.earlier import Earlier
from cotrain.data.encode import TableEncoder
from cotrain.data.encoded_sources import encoders_from, encoders_json
from cotrain.data.large import many_rows
from cotrain.data.notes import Notes
from cotrain.data.pieces import large_table
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings
from cotrain.model.compose import Model
from cotrain.recipe.auto_groups import FILE, Document, find_groups, stored_groups, telling, with_groups
from cotrain.recipe.build import build_model, build_tasks, learnt_by, with_learnt
from cotrain.recipe.config import Config, config_from_dict, load_config
from cotrain.recipe.documents import documents
from cotrain.recipe.folder import (
    FORMAT,
    existing_folder,
    new_folder,
    newest_folder,
    read_json,
    write_environment,
    write_text,
)
from cotrain.recipe.network import Trained, gathered, train_network
from cotrain.recipe.predict import predict, predict_pieces
from cotrain.recipe.rows import Rows, load_rows
from cotrain.recipe.same_config import same_config, stored_config
from cotrain.recipe.shown_pictures import PICTURES
from cotrain.training.checkpoint import read_state, write_state
from cotrain.training.evaluate import Scores, scores
from cotrain.training.watch import Watcher


class DataWarning(UserWarning):
    """Something in new rows was ignored or never seen in training."""


class Run:
    """A trained network and what belongs to it.

    folder: where it is stored, or None. config, model: what was trained. metrics: {split: {task: {metric: value}}} and costs,
    as in metrics.json.
    """

    def __init__(
        self,
        config: Config,
        model: Model,
        encoders: Mapping[str, TableEncoder],
        documents: Mapping[str, Any],
        *,
        folder: Path | None,
        rows: Rows | None = None,
    ) -> None:
        self.config, self.model, self.folder = config, model, folder
        self._encoders, self._documents, self._rows = dict(encoders), dict(documents), rows

    @property
    def _encoder(self) -> TableEncoder:
        """Of the only source, or of the first one."""
        return next(iter(self._encoders.values()))

    @property
    def metrics(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self._documents["metrics.json"])

    def evaluate(self, split: str = "test") -> Scores:
        """{task: {metric: value}} on one of the splits of the run's own data: train, valid or test.

        A loaded run reads its data again from where the config says. Raises DataError if they are not there or not the same.
        """
        if self._rows is None:
            if not all(one.path for one in self._settings().values()):
                raise DataError(
                    "evaluate needs the data of the run, which came from memory and are not stored with it; "
                    "train from a file, or compare your targets with the answers of predict"
                )
            known = self._documents["data.json"]
            self._rows = load_rows(as_before(self.config, known), self._own)
            others = self._own is not None and plain(self._rows.report["labels"]) != known["labels"]
            before, now = (
                {key: one.to_json() for key, one in found.items()} for found in (self._encoders, self._rows.encoders)
            )
            if others or before != now:
                self._rows = None
                paths = ", ".join(f"'{one.path}'" for one in self._settings().values())
                raise DataError(
                    f"the data at {paths} are not those this run was trained on; "
                    "put the old ones back, or use predict for new rows"
                )
        data = self._rows.data
        return scores(self.model.tasks, gathered(self.model, data, split)) if data.count(split) else {}

    @property
    def _own(self) -> dict[str, Earlier] | None:
        """How this run encodes the rows of each source, where it began with another run's encoders; None where its rows alone say so."""
        if self.config.train.warm_start is None:
            return None
        codecs = {name: task.codec for name, task in self.model.tasks.items()}
        name = self.config.name
        return {source: Earlier(name, one, codecs, same_rows=True) for source, one in self._encoders.items()}

    def _settings(self) -> dict[str, DataSettings]:
        """{source: what the config says of its data}."""
        return {name: one.data for name, one in self.config.sources.items()} or {MAIN: self.config.data}

    def source(self, name: str | None = None) -> str:
        """The source of new rows: the one named, or the only one. Raises ConfigError naming those there are."""
        known = list(self._encoders)
        if name is None and len(known) > 1:
            raise ConfigError(
                f"this run has several sources ({', '.join(known)}); say whose rows these are: source='{known[0]}', or --source {known[0]}"
            )
        if name is not None and name not in known:
            raise ConfigError(unknown("source", name, known))
        return name or known[0]

    def predict(
        self, rows: Any, *, thresholds: Mapping[str, float] | None = None, source: str | None = None
    ) -> pl.DataFrame:
        """One row of answers for every row given (a frame, a path, arrays), in the same order.

        binary: the label, and `<task>_probability` of yes. multiclass: the label, its probability, one of every class. regression:
        the number, in the target's units. thresholds: {task: probability from which a binary task says yes}. Warns (DataWarning) of columns that are ignored and of labels never seen.
        source: whose rows these are, where the run has several sources; that source's tasks answer.
        Raises DataError naming the columns the rows lack.
        """
        source = self.source(source)
        encoder, reading = self._encoders[source], self._settings()[source].reading
        table = read_table(rows, reading, known=dict(encoder.manners))
        answers, notes = predict(self.model, encoder, table, thresholds, source)
        for note in notes:
            warnings.warn(note, DataWarning, stacklevel=2)
        return answers

    def predict_pieces(
        self, path: Path | str, *, thresholds: Mapping[str, float] | None = None, source: str | None = None
    ) -> Iterator[pl.DataFrame]:
        """The answers of `predict` for the rows of a file or a glob, frame after frame, so that memory does not grow with the rows.

        Warns (DataWarning) at the end. Raises DataError for files that cannot be read piece by piece (npz, one JSON list).
        """
        notes, source = Notes(), self.source(source)
        table = large_table(path, self._settings()[source].reading)
        yield from predict_pieces(self.model, self._encoders[source], table, thresholds, notes, source)
        for note in notes.lines():
            warnings.warn(note, DataWarning, stacklevel=2)

    def in_pieces(self, path: Path | str, source: str | None = None) -> bool:
        """Whether rows to predict are better read piece by piece: as `data.stream` of the config says, else where they are many."""
        settings = self._settings()[self.source(source)]
        return many_rows(path, settings.reading) if settings.stream == "auto" else settings.stream

    def save(self, folder: Path | str) -> Path:
        """Store the run in a new folder; `cotrain.load` reads it back. Raises RunError if the folder is in use."""
        path = new_folder(self.config.name, folder)
        self._write(path)
        if self.folder is not None:
            for name in ("log.jsonl", "environment.json", "compare.json"):
                if (self.folder / name).exists():
                    shutil.copyfile(self.folder / name, path / name)
        return path

    def _write(self, folder: Path) -> None:
        """Every document of the run; structure.json comes last and says that the others are there."""
        write_text(folder / "config.yaml", self.config.to_yaml())
        codecs = {name: task.codec.to_json() for name, task in self.model.tasks.items()}
        learnt = learnt_by(self.model.tasks)
        write_json(
            folder / "encoders.json",
            {"format": FORMAT, "inputs": encoders_json(self._encoders), "targets": codecs, "learnt": learnt},
        )
        write_state(folder / "model.safetensors", {"model": self.model.state_dict()})
        for name, document in self._documents.items():
            if name != "structure.json":
                write_json(folder / name, document)
        write_json(folder / "structure.json", self._documents["structure.json"])


def fit(
    data: Any = None,
    *,
    tasks: Mapping[str, Any] | Sequence[Task],
    sources: Mapping[str, Any] | None = None,
    inputs: Any = None,
    encoder: Any = None,
    sharing: Any = None,
    head: Any = None,
    fusion: Any = None,
    balance: Any = None,
    train: Mapping[str, Any] | None = None,
    augment: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
    prepare: Mapping[str, Any] | None = None,
    preset: str | None = None,
    time_limit: float | str | None = None,
    seed: int = 0,
    name: str | None = None,
    folder: Path | str | None = None,
    progress: Watcher | None = None,
) -> Run:
    """Train one network for several tasks on a frame, arrays or a path, and return the run.

    The keys and their meaning are those of the config; objects are accepted wherever a name is. data: the rows, their path, or what stands
    under `data:` ({"path": ..., "split": ...}). split: as under `data:`;
    prepare: the other keys there (kinds, impute, outliers, scaling, categories, weight ...).
    preset: fast, good or best fills in encoder and training for this number of rows. time_limit: of the training, seconds or words such as 2m.
    sources: {name: table or path, or a mapping of its settings with `path` or `table`}, in place of data; tasks then name their `source`.
    train: its `warm_start` may be a run, stored or not. folder: where to store the run; without it nothing is left on disk (use `run.save`).

    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 200)
    >>> run = fit({"x": x, "big": (x > 0).astype(int), "square": x * x}, tasks={"big": "binary", "square": "regression"},
    ...           train={"epochs": 3}, encoder={"name": "mlp", "widths": [16]})
    >>> run.predict({"x": [0.9]}).columns
    ['big', 'big_probability', 'square']
    """
    with tempfile.TemporaryDirectory(prefix="cotrain-") as scratch:
        train = _with_stored_run(train, Path(scratch))
        tree: dict[str, Any] = {"tasks": tasks, "seed": seed}
        given = {
            "inputs": inputs,
            "encoder": encoder,
            "sharing": sharing,
            "balance": balance,
            "train": train,
            "name": name,
        }
        given |= {"sources": sources, "head": head, "fusion": fusion, "preset": preset, "augment": augment}
        tree |= {key: value for key, value in given.items() if value is not None}
        about: dict[str, Any] = {"cache": None, **(prepare or {})}
        if isinstance(data, Mapping) and isinstance(data.get("path"), (str, Path)):  # as it stands in a config
            about |= {key: one for key, one in data.items() if key != "path"}
            data = data["path"]
        from_path = isinstance(data, (str, Path)) or (
            isinstance(data, (list, tuple)) and all(isinstance(one, (str, Path)) for one in data)
        )
        if from_path:
            about["path"] = str(data) if isinstance(data, (str, Path)) else [str(one) for one in data]
        if split is not None:
            about["split"] = split
        config = config_from_dict(
            {**tree, "data": about}, table=None if from_path else data
        )  # nothing, where there are sources
        if time_limit is not None:
            config = config.limited(time_limit)
        if folder is not None:
            return _trained(config, folder=folder, progress=progress)
        run = _trained(config, folder=Path(scratch) / "run", progress=progress)
        run.folder = None
        return run


def _with_stored_run(train: Mapping[str, Any] | None, scratch: Path) -> Mapping[str, Any] | None:
    """The settings of a training with a folder where a run is to be begun with; one that is stored nowhere is stored for as long."""
    run = train.get("warm_start") if isinstance(train, Mapping) else None
    if not isinstance(run, Run):
        return train
    folder = run.folder or run.save(scratch / run.config.name)
    return {**(train or {}), "warm_start": str(folder.resolve())}


def train(
    config: Config | Path | str,
    *,
    folder: Path | str | None = None,
    resume: bool = False,
    progress: Watcher | None = None,
) -> Run:
    """Train what a config describes and store it in a run folder: the one given, or a new runs/<name>.

    resume: go on in that folder, or in the newest one of that name, from its last checkpoint; a finished run is returned as it is, unless
    the config now gives it more time (epochs, time limit, patience).
    Raises ConfigError, DataError or RunError for mistakes, TrainingError if training breaks down, Interrupted after Ctrl-C.
    """
    config = config if isinstance(config, Config) else load_config(config)
    return _trained(config, folder=folder, resume=resume, progress=progress)


def _trained(
    config: Config, *, folder: Path | str | None = None, resume: bool = False, progress: Watcher | None = None
) -> Run:
    reading = config
    if resume:
        path = newest_folder(config.name, folder)
        same_config(config, path)
        if (path / "data.json").exists():
            reading = as_before(config, read_json(path / "data.json"))
    rows = load_rows(reading)
    if resume:
        if (path / "structure.json").exists() and plain(stored_config(path)["train"]) == plain(
            config.as_dict()["train"]
        ):
            return load(path)
        write_text(path / "config.yaml", config.to_yaml())
    else:
        path = new_folder(config.name, folder)
        write_text(path / "config.yaml", config.to_yaml())
    write_json(path / "data.json", rows.report)
    tasks = [with_learnt(task, rows.learnt.get(task.name)) for task in rows.tasks]
    groups = find_groups(config, rows, folder=path, watcher=progress)
    done = train_network(
        with_groups(config, groups),
        rows.data,
        rows.specs,
        tasks,
        seed=config.seed,
        folder=path,
        resume=resume,
        watcher=telling(progress, groups),
    )
    return stored(config, rows, done, path, groups)


def as_before(config: Config, report: Mapping[str, Any]) -> Config:
    """The config with `stream: auto` as it was decided when the report was written, on another machine perhaps."""
    if config.sources:
        before = {name: as_before(config.of_source(name), report["sources"][name]) for name in config.sources}
        return replace(
            config, sources={name: replace(one, data=before[name].data) for name, one in config.sources.items()}
        )
    if config.data.stream != "auto" or config.table is not None:
        return config
    return replace(config, data=replace(config.data, stream="streamed" in report))


def stored(config: Config, rows: Rows, done: Trained, folder: Path, groups: Document | None = None) -> Run:
    """Score a finished training and write everything that makes its folder a run folder. groups: found before it (`find_groups`)."""
    made = documents(with_groups(config, groups), rows, done, groups)
    write_environment(folder, str(next(done.model.parameters()).device), done.history.seconds)
    run = Run(config, done.model, rows.encoders, made, folder=folder, rows=rows)
    run._write(folder)
    return run


def load(folder: Path | str) -> Run:
    """The run stored in a folder: ready to predict and, where its data still lie, to be scored.

    Nothing in the folder is executed: weights are safetensors, the rest is JSON and YAML; a user's own classes are imported by the
    name the config gives them. Raises RunError if the folder holds no finished run or is damaged.
    """
    path = existing_folder(folder)
    config = load_config(path / "config.yaml", files=False)
    stored = read_json(path / "encoders.json")
    encoders = encoders_from(stored["inputs"])
    plainly = build_tasks(config)
    codecs = {task.name: type(task.codec).from_json(stored["targets"][task.name]) for task in plainly}
    closed = with_groups(config, stored_groups(config, path))
    model = build_model(closed, build_tasks(config, codecs, stored.get("learnt")))
    if not model.built:
        model.build({source: one.specs for source, one in encoders.items()})
    try:
        model.load_state_dict(read_state(path / "model.safetensors")["model"])
    except (RuntimeError, KeyError) as error:
        raise RunError(f"'{path / 'model.safetensors'}' does not fit the config beside it: {error}") from error
    model.eval()
    further = [name for name in (PICTURES, FILE) if (path / name).exists()]
    names = ["metrics.json", "structure.json", "data.json", *further]
    return Run(config, model, encoders, {name: read_json(path / name) for name in names}, folder=path)
