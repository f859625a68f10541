"""The one place where words of a config become objects: tasks, encoder, sharing, heads, balancer, engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.balance.protocol import Balancer
from cotrain.core.errors import ConfigError
from cotrain.core.gallery import Gallery
from cotrain.core.randomness import generator
from cotrain.core.spec import Codec, EncoderSettings, HeadSettings, Settling, SharingSettings, Task
from cotrain.encoders.gallery import ENCODERS
from cotrain.encoders.own import OwnNetwork
from cotrain.heads.gallery import HEADS
from cotrain.model.compose import Model
from cotrain.model.fused import Fused
from cotrain.model.fusion import Fusion
from cotrain.recipe.balance_settings import Balance
from cotrain.recipe.config import Config
from cotrain.recipe.nested import nested_gallery
from cotrain.recipe.reader import Choice
from cotrain.recipe.targets import Target
from cotrain.sharing.gallery import SHARINGS
from cotrain.tasks.conditional import Conditional
from cotrain.tasks.gallery import TASKS
from cotrain.tasks.settled import Settled


def build_tasks(
    config: Config, codecs: Mapping[str, Codec] | None = None, learnt: Mapping[str, Any] | None = None
) -> list[Task]:
    """The config's tasks, with fitted codecs where there are some, and with what they learnt on validation rows (its JSON, by task)."""
    tasks = [build_task(target, None if codecs is None else codecs[name]) for name, target in config.tasks.items()]
    by_name = {task.name: task for task in tasks}
    tasks = [task.linked(by_name) if isinstance(task, Conditional) else task for task in tasks]
    return [with_learnt(task, (learnt or {}).get(task.name)) for task in tasks]


def with_learnt(task: Task, learnt: Mapping[str, Any] | None) -> Task:
    """The task with what it learnt on validation rows, as `learnt_by` wrote it; as it is without."""
    return task if learnt is None or not isinstance(task, Settling) else task.with_settled(Settled.from_json(learnt))


def learnt_by(tasks: Mapping[str, Task]) -> dict[str, Any]:
    """{task: JSON of what it learnt on validation rows}; tasks that learnt nothing are absent."""
    return {
        name: task.learnt.to_json()
        for name, task in tasks.items()
        if isinstance(task, Settling) and task.learnt is not None
    }


def build_task(target: Target, codec: Codec | None = None) -> Task:
    """One task from its words, or the one that Python code handed in."""
    task = target.made
    if task is None:
        cls = TASKS[target.kind]
        settings = dict(target.settings)
        if "loss" in settings:
            settings["loss"] = cast(Any, cls).losses[settings["loss"]]
        if target.head is not None:
            settings["head"] = build_choice(HEADS, target.head)
        task = cast(Task, cls(target.name, columns=target.columns, **settings))
    return task if codec is None else task.with_codec(codec)


def build_choice(gallery: Gallery, choice: Choice) -> Any:
    """The settings object a word stands for; a user's own `nn.Module` class is made later, when the data are known."""
    if choice.made is not None:
        return choice.made
    cls = gallery.check(choice.name, choice.settings)
    if issubclass(cls, nn.Module) and not hasattr(cls, "build"):
        return Later(cls, choice.settings) if _obeys(gallery, cls) else _own(gallery, choice.name, cls, choice.settings)
    settings = {
        key: build_choice(nested_gallery(cls, key), one) if isinstance(one, Choice) else one
        for key, one in choice.settings.items()
    }
    return cls(**settings)


class Later:
    """A user's own module class that obeys a room's contract: called with what the data give, and its settings as keywords."""

    def __init__(self, cls: type[nn.Module], settings: Mapping[str, Any]) -> None:
        self.name = cls.__qualname__
        self._cls, self._settings = cls, dict(settings)

    def build(self, *from_data: Any) -> nn.Module:
        return self._cls(*from_data, **self._settings)


def _obeys(gallery: Gallery, cls: type) -> bool:
    marks = {"encoder": ("embed",), "sharing": ("penalty", "usage"), "head": ("generate",)}
    return all(hasattr(cls, mark) for mark in marks.get(gallery.what, ()))


def _own(gallery: Gallery, name: str, cls: type[nn.Module], settings: Mapping[str, Any]) -> Any:
    if gallery.what != "encoder":
        raise ConfigError(
            f"{gallery.what} '{name}' is a plain torch.nn.Module; expected one with the methods of a {gallery.what} "
            "(docs/contracts.md), or a settings object with build(...)"
        )
    return OwnNetwork(network=cls, settings=settings)


def build_model(config: Config, tasks: list[Task]) -> Model:
    """The network of a config, not yet built for its inputs."""
    encoder = build_choice(ENCODERS, config.encoder)
    sharing = cast(SharingSettings, build_choice(SHARINGS, config.sharing))
    head = None if config.head is None else cast(HeadSettings, build_choice(HEADS, config.head))
    reads = {task.name: names for task in tasks if (names := config.tasks[task.name].inputs) is not None}
    if config.sources:
        sources = {task.name: str(config.tasks[task.name].source) for task in tasks}
        return Model(
            encoder=_by_source(config, encoder),
            sharing=sharing,
            tasks=tasks,
            head=head,
            inputs=reads,
            sources=sources,
            together=[config.shared],
        )
    if config.fused:
        return Model(encoder=_fused(config, encoder), sharing=sharing, tasks=tasks, head=head, inputs=reads)
    if isinstance(encoder, nn.Module):
        encoder = copy.deepcopy(encoder)  # every variant and seed begins where the user's own network stands now
        return Model(trunk=encoder, sharing=sharing, tasks=tasks, head=head)
    return Model(encoder=cast(EncoderSettings, encoder), sharing=sharing, tasks=tasks, head=head)


def _by_source(config: Config, encoder: Any) -> dict[str, EncoderSettings]:
    """{source: its encoder}: the config's for all that have none of their own."""
    common = _fused(config, encoder) if config.fused_sources else encoder
    found: dict[str, EncoderSettings] = dict.fromkeys(config.shared, common)
    for name, one in config.sources.items():
        if one.own:
            ours = config.of_source(name)
            made = encoder if one.encoder is None else build_choice(ENCODERS, one.encoder)
            found[name] = _fused(ours, made) if ours.fused else made
    for name, made in found.items():
        if isinstance(made, nn.Module):
            raise ConfigError(
                f"sources.{name}: a network that is made already reads one source; give its class (package.module:Class), or the settings "
                "of an encoder"
            )
    return {name: found[name] for name in config.sources}


def _fused(config: Config, trunk: Any) -> Fused:
    """The inputs' own encoders, their fusion, and the config's encoder as the stages that follow."""
    own = {
        name: None if one.encoder is None else build_choice(ENCODERS, one.encoder)
        for name, one in config.inputs.items()
    }
    for where, one in {"encoder": trunk, **{f"inputs.{name}.encoder": made for name, made in own.items()}}.items():
        if isinstance(one, nn.Module):
            raise ConfigError(
                f"{where}: a network that is made already reads all inputs by itself, so it cannot stand among several; "
                "give its class (package.module:Class), or the settings of an encoder"
            )
    return Fused(inputs=own, fusion=config.fusion or Fusion(), trunk=trunk)


def build_engine(model: Model, balance: Balance, seed: int) -> Engine:
    """The engine with the config's balancing method over the model's shared part."""
    balancer = cast(Balancer, build_choice(BALANCERS, balance))
    settings = balance.engine
    return Engine(
        model.shared_parameters(),
        balancer,
        mode=settings.mode,
        length=settings.length,
        every=settings.every,
        chunk=settings.chunk,
        generator=generator(seed, "balance"),
        tasks=list(model.tasks),
        network=model,
    )
