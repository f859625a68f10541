"""The config: what is written in a YAML file, or handed to `cotrain.fit`, checked in one go and frozen.

Attribute names are the keys of the file. Nothing is built here: methods stay names with settings (`Choice`), checked against the
constructors they stand for. Every problem of a config is reported at once, with file, line and path.
"""

from __future__ import annotations

import dataclasses
import io
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cotrain.core.errors import unknown
from cotrain.data.augment import AugmentSettings
from cotrain.data.settings import DataSettings
from cotrain.encoders.gallery import ENCODERS
from cotrain.heads.gallery import HEADS
from cotrain.model.fusion import Fusion
from cotrain.recipe.affinity_settings import AffinitySettings
from cotrain.recipe.agreement import (
    check_given_tasks,
    check_inputs,
    check_named_tasks,
    check_search,
    check_sources,
)
from cotrain.recipe.balance_settings import Balance, EngineSettings, read_balance
from cotrain.recipe.compare_settings import CompareSettings, Variant, read_compare
from cotrain.recipe.data_section import read_data
from cotrain.recipe.inputs import ONLY, InputSettings, read_inputs
from cotrain.recipe.plain_config import choice_dict, input_dict, source_dict, target_dict, variant_dict
from cotrain.recipe.presets import PRESETS, rows_in, with_preset
from cotrain.recipe.problems import ConfigProblems, Keys, Origin, Problem, dotted
from cotrain.recipe.reader import Choice, Reader
from cotrain.recipe.searches import searches, without_searches
from cotrain.recipe.source_section import SourceSettings, names_of, origin_of, read_sources
from cotrain.recipe.targets import Target, read_tasks
from cotrain.recipe.tune_settings import TuneSettings, read_tune
from cotrain.recipe.values import as_plain, judged, shown
from cotrain.recipe.warm_path import with_run
from cotrain.recipe.yaml_source import Source, read_yaml
from cotrain.sharing.gallery import SHARINGS
from cotrain.training.settings import TrainSettings

KEYS = (
    "name",
    "preset",
    "data",
    "sources",
    "inputs",
    "tasks",
    "encoder",
    "sharing",
    "head",
    "fusion",
    "balance",
    "train",
    "augment",
    "seed",
    "compare",
    "affinity",
    "tune",
)
"""What a config may say."""

LATER = ("compress", "export")
"""Words kept for what comes; a config that uses one is told so."""

_SYNONYMS = {
    "learning_rate": "train.optimizer.lr",
    "lr": "train.optimizer.lr",
    "lrate": "train.optimizer.lr",
    "target": "tasks",
    "targets": "tasks",
    "outputs": "tasks",
    "output_features": "tasks",
    "features": "inputs",
    "input_features": "inputs",
    "model": "encoder",
    "network": "encoder",
    "trainer": "train",
    "training": "train",
    "random_state": "seed",
    "file": "data.path",
    "rare": "data.categories.rare",
}


@dataclass(frozen=True)
class Config:
    """A whole config, every key of the file as an attribute.

    name: of the run. preset: the word that filled in what the file does not say (its values stand in the other attributes). data: where the rows are and how they are split. sources: by name, in its place where there are several tables. inputs, tasks: by name. encoder, sharing, balance: what is
    trained. head: of the tasks that name none. fusion: how several inputs with encoders of their own become one vector. train: how. augment: by input, how training rows are changed at random. seed: of everything random. compare: what stands beside it. affinity: how it is found out which tasks
    belong together. tune: how open values are searched (not part of what a run is).
    table: the rows themselves where Python code handed them in. origin: where each value was written, for messages.
    """

    name: str
    data: DataSettings
    tasks: Mapping[str, Target]
    preset: str | None = None
    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    inputs: Mapping[str, InputSettings] = field(default_factory=lambda: {ONLY: InputSettings()})
    encoder: Choice = field(default_factory=lambda: Choice("mlp"))
    sharing: Choice = field(default_factory=lambda: Choice("hard"))
    head: Choice | None = None
    fusion: Fusion | None = None
    balance: Balance = field(default_factory=lambda: Balance("sum"))
    train: TrainSettings = field(default_factory=TrainSettings)
    augment: Mapping[str, AugmentSettings] = field(default_factory=dict)
    seed: int = 0
    compare: CompareSettings = field(default_factory=CompareSettings)
    affinity: AffinitySettings = field(default_factory=AffinitySettings)
    tune: TuneSettings = field(default_factory=TuneSettings, compare=False)
    table: Any = field(default=None, repr=False, compare=False)
    origin: Origin = field(default_factory=Origin, repr=False, compare=False)

    def problem(self, keys: Keys, message: str) -> Problem:
        """A problem at one of this config's values, with the line it is written on: `config.problem(("data", "path"), "...")`."""
        return self.origin.problem(keys, message)

    @property
    def fused(self) -> bool:
        """Whether each input has an encoder of its own and they are fused: where an input or `fusion` says so, or a task reads some only."""
        some = any(given.encoder is not None for given in self.inputs.values())
        return some or self.fusion is not None or any(target.inputs is not None for target in self.tasks.values())

    @property
    def shared(self) -> tuple[str, ...]:
        """The sources that go through one encoder: those without inputs and an encoder of their own."""
        return tuple(name for name, one in self.sources.items() if not one.own)

    @property
    def fused_sources(self) -> bool:
        """Whether the sources that share an encoder fuse their inputs: `fused` for any of them."""
        return any(self.of_source(name).fused for name in self.shared)

    def of_source(self, name: str) -> Config:
        """The config of one of several sources, as if it were the only one, with the tasks that have labels there."""
        one = self.sources[name]
        return dataclasses.replace(
            self,
            data=one.data,
            sources={},
            tasks={task: target for task, target in self.tasks.items() if target.source == name},
            inputs=self.inputs if one.inputs is None else one.inputs,
            encoder=self.encoder if one.encoder is None else one.encoder,
            table=one.table,
            origin=origin_of(self.origin, name, one.own),
        )

    def variant(self, name: str) -> Config:
        """The config with the changes of one of `compare.variants`."""
        variant = self.compare.variants[name]
        parts = {part.name: getattr(variant, part.name) for part in dataclasses.fields(Variant)}
        return dataclasses.replace(self, **{key: value for key, value in parts.items() if value is not None})

    def limited(self, time_limit: float | str) -> Config:
        """The config with another limit of time for every training, its variants' own settings included."""
        train = dataclasses.replace(self.train, time_limit=time_limit)
        variants = {
            name: one
            if one.train is None
            else dataclasses.replace(one, train=dataclasses.replace(one.train, time_limit=train.time_limit))
            for name, one in self.compare.variants.items()
        }
        return dataclasses.replace(self, train=train, compare=dataclasses.replace(self.compare, variants=variants))

    def as_dict(self) -> dict[str, Any]:
        """The config as plain values; `config_from_dict` reads it back into an equal one, objects from Python aside."""
        return {
            "name": self.name,
            **({} if self.preset is None else {"preset": self.preset}),
            "data": as_plain(self.data),
            **({"sources": {name: source_dict(one) for name, one in self.sources.items()}} if self.sources else {}),
            "inputs": {name: input_dict(given) for name, given in self.inputs.items()},
            "tasks": {name: target_dict(target) for name, target in self.tasks.items()},
            "encoder": choice_dict(self.encoder),
            "sharing": choice_dict(self.sharing),
            **({} if self.head is None else {"head": choice_dict(self.head)}),
            **({} if self.fusion is None else {"fusion": as_plain(self.fusion)}),
            "balance": choice_dict(self.balance),
            "train": as_plain(self.train),
            **({"augment": {name: as_plain(one) for name, one in self.augment.items()}} if self.augment else {}),
            "seed": self.seed,
            "compare": {
                "seeds": list(self.compare.seeds),
                "single": self.compare.single,
                "single_time": self.compare.single_time,
                "single_steps": self.compare.single_steps,
                "boosting": self.compare.boosting,
                "variants": {name: variant_dict(variant) for name, variant in self.compare.variants.items()},
            },
            "affinity": as_plain(self.affinity),
        }

    def to_yaml(self) -> str:
        """The config as YAML text, with every default written out."""
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.width = 4096
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        text = io.StringIO()
        yaml.dump(self.as_dict(), text)
        return text.getvalue()


def load_config(path: str | Path, *, files: bool = True, preset: str | None = None) -> Config:
    """The config a YAML file holds; relative paths in it are meant from its own folder.

    files: look whether the data file is there. preset: in place of the file's own.
    Raises ConfigProblems (a ConfigError) with every problem found.
    """
    source = read_yaml(path)
    if preset is not None and isinstance(source.tree, Mapping):
        source = dataclasses.replace(source, tree={**source.tree, "preset": preset})
    return _read(source, Path(path).resolve().parent, Path(path).stem, None, files)


def config_from_dict(
    tree: Mapping[str, Any], *, table: Any = None, folder: Path | None = None, files: bool = True
) -> Config:
    """The config a mapping with the same keys holds; objects (a task, an encoder, a balancer) may stand wherever a name does.

    table: the rows themselves (a frame, arrays), in place of `data.path`. folder: where relative paths start, else the working one.
    files: look whether the data file is there. Raises ConfigProblems (a ConfigError) with every problem found.

    >>> config = config_from_dict({"tasks": {"age": "regression"}, "sharing": "mmoe"}, table={"age": [1.0], "height": [2.0]})
    >>> config.sharing
    Choice(name='mmoe', settings={}, made=None)
    """
    tree = dict(tree)
    if table is None and "data" in tree and not _says_how(tree["data"]):
        table = tree.pop("data")
    return _read(Source(tree, Origin()), folder, "cotrain", table, files)


def config_from_source(source: Source, folder: Path | None, *, table: Any = None, files: bool = True) -> Config:
    """The config of a raw tree that was read before; arguments and errors are those of `config_from_dict`."""
    return _read(source, folder, "cotrain", table, files)


def _says_how(data: Any) -> bool:
    """Whether `data` is what a config says of data, and not the rows themselves."""
    if isinstance(data, Mapping):
        return set(data) <= {part.name for part in dataclasses.fields(DataSettings)} and not isinstance(
            data.get("path"), Mapping
        )
    return data is None or isinstance(data, str | Path | DataSettings)


def _read(source: Source, folder: Path | None, name: str, table: Any, files: bool) -> Config:
    reader = Reader(source.origin, _elsewhere())
    reader.problems.extend(source.problems)
    open_values = searches(source.tree)
    for keys in open_values:
        reader.found(
            keys, "this value is still open (search); `cotrain tune` will resolve searches, to train write one value"
        )
    unresolved = {dotted(keys) for keys in open_values}
    closed = len(reader.problems)
    config = _config(reader, without_searches(source.tree), folder, name, table, files)
    rest = [problem for problem in reader.problems[closed:] if problem.path not in unresolved]
    problems = source.origin.ordered([*reader.problems[:closed], *rest])
    if problems or config is None:
        raise ConfigProblems(problems, source.origin.file or "the config")
    return config


def _config(reader: Reader, tree: Any, folder: Path | None, name: str, table: Any, files: bool) -> Config | None:
    given = reader.mapping(tree, (), "keys and values", "tasks: {income: binary}")
    if given is None:
        return None
    for key in [key for key in given if key in LATER]:
        reader.found(
            (key,), f"'{key}' comes later and cannot be used yet; take it out. Known: {', '.join(KEYS)}", at_key=True
        )
    reader.known(given, (), (*KEYS, *LATER))
    before = len(reader.problems)
    given = _filled(reader, given, folder, table)
    parts: dict[str, Any] = {
        "preset": given.get("preset"),
        "name": _name(reader, given.get("name", re.sub(r"[^\w.-]+", "-", name).strip("-.") or "cotrain")),
        "seed": _seed(reader, given.get("seed", 0)),
        "data": read_data(reader, given.get("data"), folder, table, files, needed="sources" not in given),
    }
    if "sources" in given:
        parts["sources"] = read_sources(
            reader, given["sources"], None if parts["data"] is None else given.get("data"), folder, files
        )
        if parts["data"] is not None and (parts["data"].path or table is not None):
            reader.found(
                ("data", "path"),
                "expected either `data.path` or `sources`, got both; under `data` write what all sources have in common",
            )
    if "tasks" in given:
        parts["tasks"] = read_tasks(reader, given["tasks"], ("tasks",))
    elif not any(reader.elsewhere.get(key) == "tasks" for key in given):
        reader.found(
            ("tasks",), "expected what is to be predicted, got nothing; add for example `tasks: {income: binary}`"
        )
    if "inputs" in given:
        parts["inputs"] = read_inputs(reader, given["inputs"], ("inputs",))
    for key, gallery in (("encoder", ENCODERS), ("sharing", SHARINGS), ("head", HEADS)):
        if key in given:
            parts[key] = reader.choice(gallery, given[key], (key,))
    if given.get("fusion") is not None:
        parts["fusion"] = reader.section(Fusion, given["fusion"], ("fusion",))
    if "balance" in given:
        parts["balance"] = read_balance(reader, given["balance"], ("balance",))
    if "train" in given:
        parts["train"] = with_run(reader, reader.section(TrainSettings, given["train"], ("train",)), folder, files)
    if given.get("augment") is not None:
        parts["augment"] = reader.value(Mapping[str, AugmentSettings], given["augment"], ("augment",))
    if "compare" in given:
        parts["compare"] = read_compare(
            reader, given["compare"], ("compare",), given.get("train") if parts.get("train") else {}
        )
    if "affinity" in given:
        parts["affinity"] = reader.section(AffinitySettings, given["affinity"], ("affinity",))
    if "tune" in given:
        parts["tune"] = read_tune(reader, given["tune"], ("tune",))
    tasks: Mapping[str, Target] = parts.get("tasks") or {}
    sources: Mapping[str, SourceSettings] = parts.get("sources") or {}
    check_inputs(reader, tasks, parts.get("inputs") or {}, sources)
    check_sources(reader, tasks, names_of(given.get("sources")))
    if len(sources) == 1 and tasks:
        parts["tasks"] = {name: dataclasses.replace(one, source=next(iter(sources))) for name, one in tasks.items()}
    if tasks:
        variants = parts["compare"].variants if parts.get("compare") else {}
        names = [
            *map(str, given["tasks"] if isinstance(given["tasks"], Mapping) else tasks)
        ]  # those with a problem too
        check_given_tasks(reader, tasks, names)
        check_named_tasks(reader, names, parts.get("balance"), parts.get("train"), variants)
        check_search(reader, parts.get("tune"), names)
    if len(reader.problems) > before or "tasks" not in parts:
        return None
    return Config(**parts, table=table, origin=reader.origin)


def _filled(reader: Reader, given: Mapping[str, Any], folder: Path | None, table: Any) -> Mapping[str, Any]:
    """The config with what its preset says under it."""
    name = given.get("preset")
    if name is None:
        return given
    if not isinstance(name, str) or name not in PRESETS:
        reader.found(("preset",), unknown("preset", str(name), PRESETS))
        return {key: value for key, value in given.items() if key != "preset"}
    sources = given.get("sources")
    tables = sources.values() if isinstance(sources, Mapping) and sources else [given.get("data")]
    return with_preset(given, name, max(rows_in(one, folder, table) for one in tables))


def _name(reader: Reader, tree: Any) -> Any:
    value = reader.value(str, tree, ("name",))
    if isinstance(value, str) and not re.fullmatch(r"\w[\w.-]*", value):
        reader.found(
            ("name",), f"expected letters, digits, '-', '_' and '.' (it names the run's folder), got {shown(value)}"
        )
    return value


def _seed(reader: Reader, tree: Any) -> Any:
    value, findings = judged(int, tree)
    if findings:
        reader.found(("seed",), findings[0][1])
    elif not 0 <= value < 2**63:
        reader.found(
            ("seed",), f"expected a whole number of at least 0 and below 2^63, got {value}; write for example 0"
        )
    return value


def _elsewhere() -> dict[str, str]:
    """Where each key of the nested sections belongs, for keys that occur in one place only."""
    places: dict[str, list[str]] = {}
    sections: list[tuple[type, str]] = [
        (TrainSettings, "train"),
        (DataSettings, "data"),
        (EngineSettings, "balance.engine"),
    ]
    while sections:
        cls, path = sections.pop()
        hints = typing.get_type_hints(cls)
        for part in dataclasses.fields(cls):
            places.setdefault(part.name, []).append(f"{path}.{part.name}")
            kinds = (hints[part.name], *typing.get_args(hints[part.name]))
            inner = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
            sections += [(kind, f"{path}.{part.name}") for kind in inner if isinstance(kind, type)]
    known = {key: found[0] for key, found in places.items() if len(found) == 1 and key not in KEYS}
    return known | _SYNONYMS
