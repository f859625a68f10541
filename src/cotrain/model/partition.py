"""Part: one group of tasks with the encoders and the sharing they have in common.

A model is one part where all tasks share, and one part a task where nothing is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Field
from cotrain.core.naming import slot, unslot
from cotrain.core.signals import Shape, TaskSignals
from cotrain.core.spec import Answer, Encoder, EncoderSettings, InputSpec, ReadsAnswers, SharingSettings
from cotrain.model.mixup import Mixing
from cotrain.model.precision import in_dtype_of


class Part(nn.Module):
    """The encoders of every source (each into the same space), and one sharing that owns the stages.

    With several sources each encoder ends its `embed` in a W x + b of its own, as wide as the widest. The stages are those of the first
    encoder that has any; the others have none, or the same. Raises ConfigError where the encoders do not meet in one space.
    """

    def __init__(
        self,
        specs: Mapping[str, InputSpec],
        encoder: Mapping[str, EncoderSettings],
        sharing: SharingSettings,
        tasks: Sequence[str],
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        built = {source: encoder[source].build(spec) for source, spec in specs.items()}
        if len(built) > 1:
            width = max(cast(Encoder, one).shapes[0].width for one in built.values())
            built = {source: encoder[source].build(spec, width) for source, spec in specs.items()}
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

    @property
    def shapes(self) -> Mapping[str, Sequence[Shape]]:
        """{task: shape of its signal after every stage}."""
        return cast(Mapping[str, Sequence[Shape]], self.sharing.shapes)

    @property
    def sources(self) -> list[str]:
        return [unslot(key) for key in self.encoders]

    @property
    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """{task: tasks whose answers the sharing lets it read}."""
        return self.sharing.reads if isinstance(self.sharing, ReadsAnswers) else {}

    def forward(
        self, source: str, fields: Mapping[str, Field], mixing: Mixing | None = None, answer: Answer | None = None
    ) -> TaskSignals:
        """{task: its signals}. answer: of the heads, for a sharing in which tasks read what others predict."""
        if slot(source) not in self.encoders:
            raise DataError(
                f"no encoder for source '{source}', known: {', '.join(self.sources)}; build the model with the specs of every source"
            )
        embedded = cast(Encoder, self.encoders[slot(source)]).embed(in_dtype_of(self, fields))
        read = embedded if mixing is None else mixing.signal(embedded)
        signals: TaskSignals = self.sharing(read, answer) if self.reads else self.sharing(read)
        return signals
