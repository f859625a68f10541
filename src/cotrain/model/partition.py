"""Part: one group of tasks with the encoders and the sharing they have in common.

A model is one part where all tasks share, and one part a task where nothing is shared.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from torch import nn

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Field
from cotrain.core.naming import slot
from cotrain.core.readers import read_by
from cotrain.core.signals import Shape, Signal, TaskSignals
from cotrain.core.spec import Encoder, EncoderSettings, InputSpec, ReadsAnswers, SharingSettings
from cotrain.model.answers import Answers
from cotrain.model.fused import Fused, FusedEncoder
from cotrain.model.mixup import Mixing
from cotrain.model.precision import in_dtype_of

Views = Mapping[str, Sequence[str]]
"""{task: the inputs it reads}; a task that is absent reads all."""


class Part(nn.Module):
    """The encoders of every source (each into the same space), and one sharing that owns the stages.

    With several sources each encoder ends its `embed` in a W x + b of its own, as wide as the widest; sources of one group in `together`
    go through one encoder, that of the first of them. The stages are those of the first encoder that has any; the others have none, or the
    same. views: where tasks read some of the inputs only: the sharing is called once for every set of inputs, h_k = sharing(z_S(k))_k,
    and an input that no task here reads is not built. Raises ConfigError where the encoders do not meet in one space, and for a task that
    is to be told what another one with other inputs has found.
    """

    def __init__(
        self,
        specs: Mapping[str, InputSpec],
        encoder: Mapping[str, EncoderSettings],
        sharing: SharingSettings,
        tasks: Sequence[str],
        views: Views | None = None,
        together: Sequence[Collection[str]] = (),
        sources: Mapping[str, str | None] | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.views = {task: tuple(names) for task, names in (views or {}).items() if task in tasks}
        _check_feeds(sharing, self.tasks, self.views)
        self.alias = {source: _first(source, specs, together) for source in specs}
        own = {source: specs[source] for source in specs if self.alias[source] == source}
        self._check_views([encoder[source] for source in own])
        settings = {source: self._narrowed(encoder[source], source, sources or {}) for source in own}
        built = {source: settings[source].build(spec) for source, spec in own.items()}
        if len(built) > 1:
            width = max(cast(Encoder, one).shapes[0].width for one in built.values())
            built = {source: settings[source].build(spec, width) for source, spec in own.items()}
        ways = {source: tuple(cast(Encoder, one).shapes) for source, one in built.items()}
        longest = max(ways.values(), key=len)
        apart = [source for source, way in ways.items() if way not in (longest, longest[:1])]
        if apart:
            raise ConfigError(
                f"the sources' encoders must meet in one space and go the same way from there; source '{apart[0]}' has "
                f"{list(map(str, ways[apart[0]]))}, another has {list(map(str, longest))}; choose encoders of the same layout and widths"
            )
        first = cast(Encoder, next(one for source, one in built.items() if ways[source] == longest))
        stages, shapes = first.stages, list(first.shapes)
        for one in built.values():
            cast(Any, one).stages = nn.ModuleList()
        self.encoders = nn.ModuleDict({slot(source): one for source, one in built.items()})
        self.sharing = sharing.build(stages, shapes, self.tasks)

    def _check_views(self, encoders: Sequence[EncoderSettings]) -> None:
        """Raises ConfigError for an input that no source has, or where no source's inputs have encoders of their own."""
        known = list(dict.fromkeys(name for one in encoders if isinstance(one, Fused) for name in one.inputs))
        for task, names in self.views.items():
            if not known:
                raise ConfigError(
                    f"task '{task}' reads some of the inputs only ({', '.join(names)}), which needs an encoder for each input: Fused(inputs=...)"
                )
            for name in names:
                if name not in known:
                    raise ConfigError(f"task '{task}': " + unknown("input", name, known))

    def _narrowed(self, settings: EncoderSettings, source: str, sources: Mapping[str, str | None]) -> EncoderSettings:
        """Without the inputs that no task of these rows reads."""
        if not isinstance(settings, Fused):
            return settings
        here = {one for one, first in self.alias.items() if first == source}
        readers = [task for task in self.tasks if sources.get(task) is None or sources[task] in here]
        if any(task not in self.views for task in readers):
            return settings
        return settings.only([name for name in settings.inputs if any(name in self.views[task] for task in readers)])

    @property
    def shapes(self) -> Mapping[str, Sequence[Shape]]:
        """{task: shape of its signal after every stage}."""
        return cast(Mapping[str, Sequence[Shape]], self.sharing.shapes)

    @property
    def sources(self) -> list[str]:
        return list(self.alias)

    @property
    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """{task: tasks whose answers the sharing lets it read}."""
        return self.sharing.reads if isinstance(self.sharing, ReadsAnswers) else {}

    def forward(
        self,
        source: str,
        fields: Mapping[str, Field],
        mixing: Mixing | None = None,
        answers: Answers | None = None,
        tasks: Collection[str] | None = None,
    ) -> TaskSignals:
        """{task: its signals}; where inputs differ between tasks, of `tasks` only.

        answers: of the heads, for a sharing in which tasks read what others predict.
        """
        if source not in self.alias:
            raise DataError(
                f"no encoder for source '{source}', known: {', '.join(self.sources)}; build the model with the specs of every source"
            )
        encoder = self.encoders[slot(self.alias[source])]
        fields = in_dtype_of(self, fields)
        wanted = self.tasks if tasks is None else tasks
        if not self.views or not isinstance(encoder, FusedEncoder):
            with read_by(wanted):
                return self._shared(cast(Encoder, encoder).embed(fields), mixing, answers, self.tasks)
        sets = self._sets(wanted, encoder)
        vectors = encoder.vectors(fields, {name for names in sets for name in names})
        found: dict[str, list[Signal]] = {}
        for names, readers in sets.items():
            with read_by(readers):
                signals = self._shared(encoder.fused(vectors, names), mixing, answers, readers)
            found |= {task: signals[task] for task in readers}
        return found

    def _shared(
        self, embedded: Signal, mixing: Mixing | None, answers: Answers | None, tasks: Collection[str]
    ) -> TaskSignals:
        read = embedded if mixing is None else mixing.signal(embedded)
        told = None if answers is None or not self.reads else answers.among(tasks)
        signals: TaskSignals = self.sharing(read) if told is None else self.sharing(read, told)
        return signals

    def _sets(self, tasks: Collection[str], encoder: FusedEncoder) -> dict[tuple[str, ...], list[str]]:
        """{inputs of this source: the tasks that read just these}, in the tasks' order."""
        found: dict[tuple[str, ...], list[str]] = {}
        for task in (one for one in self.tasks if one in tasks):
            wanted = self.views.get(task, encoder.names)
            names = tuple(name for name in encoder.names if name in wanted)
            if not names:
                raise ConfigError(f"task '{task}': {unknown('input', wanted[0], list(encoder.names))}")
            found.setdefault(names, []).append(task)
        return found


def partition(
    tasks: Mapping[str, str | None],
    specs: Mapping[str, InputSpec],
    encoder: Mapping[str, EncoderSettings],
    sharing: SharingSettings,
    views: Views,
    together: Sequence[Collection[str]],
) -> list[Part]:
    """The parts of a network: one, or one a task where nothing is shared. tasks: {task: the source its rows are in, or None for all}.

    Raises ConfigError for a task of a source, or of inputs, that is not there.
    """
    for name in views:
        if name not in tasks:
            raise ConfigError("inputs: " + unknown("task", name, list(tasks)))
    for name, source in tasks.items():
        if source is not None and source not in specs:
            raise ConfigError(f"task '{name}' " + unknown("source", source, list(specs)))
    groups = [[name] for name in tasks] if getattr(sharing, "apart", False) else [list(tasks)]
    parts = []
    for index, group in enumerate(groups):
        wanted = {tasks[name] for name in group}
        own = {source: specs[source] for source in specs if None in wanted or source in wanted}
        parts.append(Part(own, copy.deepcopy(encoder) if index else encoder, sharing, group, views, together, tasks))
    return parts


def _first(source: str, specs: Mapping[str, InputSpec], together: Sequence[Collection[str]]) -> str:
    """The source whose encoder this one uses."""
    group = next((one for one in together if source in one), (source,))
    return next(one for one in specs if one in group)


def _check_feeds(sharing: SharingSettings, tasks: Sequence[str], views: Views) -> None:
    """A task told of another one is told of features made from that one's inputs, which it must not see unless it reads the same."""
    feeds = getattr(sharing, "feeds", None)
    for task, told in feeds.items() if isinstance(feeds, Mapping) else ():
        for one in told:
            if task in tasks and one in tasks and set(views.get(task, ())) != set(views.get(one, ())):
                raise ConfigError(
                    f"{sharing.name}.feeds: task '{task}' is told about '{one}', but they read other inputs "
                    f"({', '.join(views.get(task, ('all',)))} and {', '.join(views.get(one, ('all',)))}); give both the same `inputs`"
                )
