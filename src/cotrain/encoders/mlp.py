"""Multilayer perceptron on numbers and embedded categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.naming import slot
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Stage
from cotrain.core.widths import layer_widths

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


@dataclass(frozen=True, kw_only=True)
class MLP:
    """One stage a width: linear, norm, activation, dropout, on the numbers beside every category's embedding.

    widths: hidden widths, one stage each. dropout: after each activation, in [0, 1). activation: relu, gelu or silu.
    norm: none, layer or batch, before the activation. embedding: numbers an embedded category gets; initial values N(0, 1/embedding),
    so that a category weighs about as much as one standardised number.

    Codes of a category lie below its cardinality (0 is unseen or missing); what is missing among the numbers stands there as filler.
    """

    name: ClassVar[str] = "mlp"
    widths: Sequence[int] = (256, 256)
    dropout: float = 0.1
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["none", "layer", "batch"] = "none"
    embedding: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("mlp.widths", self.widths))
        layer_widths("mlp.embedding", [self.embedding])
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"mlp.dropout must lie in [0, 1), got {self.dropout}")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"mlp.activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}")
        if self.norm not in ("none", "layer", "batch"):
            raise ConfigError(f"mlp.norm must be none, layer or batch, got {self.norm!r}")

    def build(self, inputs: InputSpec, width: int | None = None) -> MLPEncoder:
        return MLPEncoder(inputs, self, width)


class MLPEncoder(nn.Module):
    """`embed` puts numbers and embedded categories side by side: a vector signal; `stages` are the hidden layers."""

    def __init__(self, inputs: InputSpec, settings: MLP, width: int | None) -> None:
        super().__init__()
        self.numbers = [name for name, spec in inputs.items() if spec.kind == "number"]
        self.categories = [name for name, spec in inputs.items() if spec.kind == "category"]
        others = {name: spec.kind for name, spec in inputs.items() if spec.kind not in ("number", "category")}
        if others:
            name, kind = next(iter(others.items()))
            raise ConfigError(f"encoder 'mlp' reads numbers and categories; input '{name}' is of kind '{kind}'")
        flat = sum(len(inputs[name].names) for name in self.numbers)
        self.tables = nn.ModuleDict(
            {slot(name): CategoryTable(inputs[name].cardinalities, settings.embedding) for name in self.categories}
        )
        flat += sum(len(inputs[name].cardinalities) * settings.embedding for name in self.categories)
        if flat == 0:
            raise ConfigError("encoder 'mlp' was given no usable input column; name some under inputs:")
        self.project = nn.Linear(flat, width) if width is not None else None
        wide = flat if width is None else width
        stages: list[nn.Module] = []
        self.shapes: Sequence[Shape] = [Shape("vector", wide)]
        for after in settings.widths:
            norms: dict[str, list[nn.Module]] = {
                "none": [],
                "layer": [nn.LayerNorm(after)],
                "batch": [nn.BatchNorm1d(after)],
            }
            rest = [*norms[settings.norm], ACTIVATIONS[settings.activation](), nn.Dropout(settings.dropout)]
            stages.append(Stage(nn.Linear(wide, after), *rest))
            wide = after
            self.shapes.append(Shape("vector", wide))
        self.stages = nn.ModuleList(stages)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        parts: list[Tensor] = [self._column(fields[name].values) for name in self.numbers]
        parts += [self.tables[slot(name)](fields[name].values) for name in self.categories]
        flat = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return Signal(flat if self.project is None else self.project(flat))

    @staticmethod
    def _column(values: Tensor) -> Tensor:
        """[B] or [B, C] -> [B, C]."""
        return values.unsqueeze(1) if values.dim() == 1 else values


class CategoryTable(nn.Module):
    """Embeddings of several category columns in one table: codes [B, C] -> [B, C * D]."""

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(cardinalities), width)
        nn.init.normal_(self.table.weight, std=width**-0.5)
        starts = [0, *accumulate(cardinalities)][:-1]
        with torch.no_grad():
            self.table.weight[starts] = (
                0.0  # what training never saw is no category at random, but the mean of them all
            )
        self.register_buffer("offsets", torch.tensor(starts, dtype=torch.int64), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        out: Tensor = self.table(codes + self.offsets)
        return out.flatten(1)
