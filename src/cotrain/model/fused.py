"""Several inputs of a row, each read by an encoder of its own, mapped into one space and fused there.

    x_g = pool(last signal of encoder_g)        v_g = W_g x_g + b_g        z = fusion(v_1, ..., v_G)        then the shared stages

Shapes: B rows, G inputs, D width of the shared space. A row that lacks an input is not shown to that input's encoder at all, so that no
filler reaches the output, a gradient or the figures of a norm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError, DataError, unknown
from cotrain.core.fields import Field
from cotrain.core.naming import slot
from cotrain.core.signals import Signal
from cotrain.core.spec import Encoder, EncoderSettings, FieldSpec, InputSpec
from cotrain.encoders.columns import KINDS
from cotrain.encoders.linear_numbers import LINEAR
from cotrain.encoders.mlp import MLP
from cotrain.heads.pooling import Pooling
from cotrain.model.fusion import Fusion

FUSED = "fused"
"""The name of the one field that the shared stages' encoder is built on."""


@dataclass(frozen=True, kw_only=True)
class Fused:
    """Settings of an encoder for several inputs, which may also be missing.

    inputs: {input: settings of its own encoder, or None for columns of a table as they are (numbers, vectors of categories)}.
    fusion: how they become one vector. trunk: an encoder of tables whose stages the tasks share; it is built on the fused vector.
    A field belongs to the input its FieldSpec names as `group`, else to the one its own name names, up to a first dot.
    Columns without an encoder of their own enter as the trunk's settings `numbers` and `category_width` say, where it has such.

    >>> specs = {"a.numbers": FieldSpec("number", ("x", "y")), "b.numbers": FieldSpec("number", ("z",))}
    >>> encoder = Fused(inputs={"a": MLP(widths=[8]), "b": None}, fusion=Fusion(width=4), trunk=MLP(widths=[16])).build(specs)
    >>> [shape.width for shape in encoder.shapes]
    [4, 16]
    """

    name: ClassVar[str] = "fused"
    inputs: Mapping[str, EncoderSettings | None]
    fusion: Fusion = field(default_factory=Fusion)
    trunk: EncoderSettings = field(default_factory=MLP)

    def only(self, names: Sequence[str]) -> Fused:
        """The same for some of the inputs. Raises ConfigError naming one that is not there."""
        for name in names:
            if name not in self.inputs:
                raise ConfigError(unknown("input", name, list(self.inputs)))
        return replace(self, inputs={name: one for name, one in self.inputs.items() if name in names})

    def build(self, inputs: InputSpec, width: int | None = None) -> FusedEncoder:
        return FusedEncoder(inputs, self, width)


class FusedEncoder(nn.Module):
    """`embed` is the fused vector of all inputs; `fused(vectors(...), names)` that of some. `stages` are the trunk's.

    Raises ConfigError for an input without a field, or whose kind its encoder does not read.
    """

    def __init__(self, specs: InputSpec, settings: Fused, width: int | None) -> None:
        super().__init__()
        fusion = settings.fusion
        self.names = tuple(settings.inputs)
        self.paths = nn.ModuleDict(
            {
                slot(name): InputPath(name, fields_of(name, specs), own or plain_columns(settings.trunk), fusion)
                for name, own in settings.inputs.items()
            }
        )
        self.fusion = fusion.build(len(self.names))
        self.trunk = _trunk(settings.trunk, fusion.width, width)
        trunk = cast(Encoder, self.trunk)
        self.stages, self.shapes = trunk.stages, list(trunk.shapes)
        cast(Any, self.trunk).stages = nn.ModuleList()

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return self.fused(self.vectors(fields), self.names)

    def vectors(
        self, fields: Mapping[str, Field], names: Collection[str] | None = None
    ) -> dict[str, tuple[Tensor, Tensor | None]]:
        """{input: (v [B, D], which rows have it [B] or None for all)}; each encoder runs once. names: of some inputs only."""
        return {name: self.paths[slot(name)](fields) for name in self.names if names is None or name in names}

    def fused(self, vectors: Mapping[str, tuple[Tensor, Tensor | None]], names: Sequence[str]) -> Signal:
        """The embedded signal that these inputs make, as if there were no other."""
        own = [vectors[name] for name in names]
        held = None
        if any(one is not None for _, one in own):
            rows = own[0][0].shape[0]
            held = torch.stack([one if one is not None else v.new_ones(rows, dtype=torch.bool) for v, one in own], 1)
        stacked = torch.stack([v for v, _ in own], 1)
        z = self.fusion(stacked, held, [self.names.index(name) for name in names])
        return cast(Encoder, self.trunk).embed({FUSED: Field.dense(z)})


class InputPath(nn.Module):
    """One input: its encoder run whole, pooled, then W x + b into the shared space."""

    def __init__(self, name: str, specs: InputSpec, settings: EncoderSettings, fusion: Fusion) -> None:
        super().__init__()
        self.name, self.fields = name, tuple(specs)
        built = _of_input(name, specs, settings)
        self.encoder = built
        shape = cast(Encoder, built).shapes[-1]
        if shape.members > 1:
            raise ConfigError(
                f"inputs.{name}.encoder: an ensemble inside the encoder of one input cannot be fused with others; "
                f"give the input another encoder, and the ensemble as the config's own `encoder:`"
            )
        self.pooling = Pooling([shape], fusion.pool_of(settings, shape.layout), cells=fusion.cells)
        self.linear = nn.Linear(self.pooling.width, fusion.width)

    def forward(self, fields: Mapping[str, Field]) -> tuple[Tensor, Tensor | None]:
        """(v [B, D], [B] bool which rows have the input, or None where all have); v is 0 for the others."""
        absent = [name for name in self.fields if name not in fields]
        if absent:
            raise DataError(
                f"input '{self.name}' reads the field '{absent[0]}', which the batch lacks; it has {', '.join(fields)}"
            )
        own = {name: fields[name] for name in self.fields}
        present = torch.stack([one.present for one in own.values()]).any(0)
        rows = present.nonzero().squeeze(1)
        if len(rows) == len(present):
            return self.vector(own), None
        if not len(rows):
            return self.linear.weight.new_zeros(len(present), self.linear.out_features), present
        # a batch norm has nothing to say of one row alone: it is shown twice
        shown = rows.repeat(2) if len(rows) == 1 and self.training else rows
        vector = self.vector({name: one.select(shown) for name, one in own.items()})[: len(rows)]
        return vector.new_zeros(len(present), vector.shape[1]).index_copy(0, rows, vector), present

    def vector(self, fields: Mapping[str, Field]) -> Tensor:
        """[B, D] of rows that have the input."""
        encoder = cast(Encoder, self.encoder)
        signal = encoder.embed(fields)
        for stage in encoder.stages:
            signal = stage(signal)
        out: Tensor = self.linear(self.pooling([signal]))
        return out


def fields_of(name: str, specs: InputSpec) -> dict[str, FieldSpec]:
    """The fields of one input. Raises ConfigError if there is none."""
    own = {field: spec for field, spec in specs.items() if (spec.group or field.partition(".")[0]) == name}
    if not own:
        there = list(dict.fromkeys(spec.group or field.partition(".")[0] for field, spec in specs.items()))
        raise ConfigError(f"input '{name}' has no field; " + unknown("input", name, there))
    return own


def plain_columns(trunk: EncoderSettings) -> MLP:
    """Columns of a table side by side and no stage after them: numbers and categories enter as the trunk's settings say."""
    said = {key: getattr(trunk, key) for key in ("category_width", "numbers") if hasattr(trunk, key)}
    return MLP(widths=(), **said)


def _of_input(name: str, specs: InputSpec, settings: EncoderSettings) -> nn.Module:
    kinds = sorted({spec.kind for spec in specs.values()})
    alone = isinstance(settings, MLP) and not settings.widths
    if alone and not set(kinds) <= set(KINDS):
        kind = next(one for one in kinds if one not in KINDS)
        known = {"image": "convnet", "tokens": "text_conv"}.get(kind)
        raise ConfigError(
            f"inputs.{name}: a field of kind '{kind}' needs an encoder of its own"
            + (f"; write {name}: {{columns: [...], encoder: {known}}}" if known else "")
        )
    try:
        return settings.build(specs)
    except ConfigError as error:
        raise ConfigError(f"inputs.{name}.encoder: {error}") from error


def _trunk(settings: EncoderSettings, fused: int, width: int | None) -> nn.Module:
    """The shared stages on the fused vector. Raises ConfigError for an encoder that reads no plain numbers."""
    plainly: Any = settings
    if hasattr(plainly, "numbers") and is_dataclass(plainly) and not isinstance(plainly, type):
        plainly = replace(plainly, numbers=LINEAR)
    spec = FieldSpec("number", tuple(f"{FUSED}_{place}" for place in range(fused)), shape=(fused,))
    advice = (
        "with several inputs, `encoder:` gives the shared stages on the fused vector: choose mlp or resnet, and what reads "
        "pictures or texts as `encoder:` of that input"
    )
    try:
        built = cast(EncoderSettings, plainly).build({FUSED: spec}, width)
    except ConfigError as error:
        raise ConfigError(f"encoder: {error}; {advice}") from error
    layouts = {shape.layout for shape in cast(Encoder, built).shapes}
    if layouts != {"vector"}:
        raise ConfigError(f"encoder: '{settings.name}' makes a {' and '.join(sorted(layouts))} of numbers; {advice}")
    return built
