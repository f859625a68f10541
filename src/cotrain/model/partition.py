"""Part: one group of tasks with the encoders and the sharing they have in common.

A model is one part where all tasks share, and one part a task where nothing is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot, unslot
from cotrain.core.signals import Shape, TaskSignals
from cotrain.core.spec import Encoder, EncoderSettings, InputSpec, SharingSettings


class Part(nn.Module):
    """The encoders of every source (each into the same space), and one sharing that owns the first encoder's stages."""

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
        spaces = {source: cast(Encoder, one).shapes[0] for source, one in built.items()}
        if len(set(spaces.values())) > 1:
            width = max(space.width for space in spaces.values())
            built = {source: encoder[source].build(spec, width) for source, spec in specs.items()}
            spaces = {source: cast(Encoder, one).shapes[0] for source, one in built.items()}
        if len(set(spaces.values())) > 1:
            raise ConfigError(
                f"the sources' encoders do not meet in one space: {spaces}; choose encoders of the same layout"
            )
        first = cast(Encoder, next(iter(built.values())))
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

    def forward(self, source: str, fields: Mapping[str, Field]) -> TaskSignals:
        signals: TaskSignals = self.sharing(cast(Encoder, self.encoders[slot(source)]).embed(fields))
        return signals
