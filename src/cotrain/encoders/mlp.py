"""Multilayer perceptron on numbers and embedded categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Stage
from cotrain.core.widths import layer_widths
from cotrain.encoders.categories import CategoryWidth, check_category_width
from cotrain.encoders.columns import Columns
from cotrain.encoders.layers import ACTIVATIONS, check_activation, check_share
from cotrain.encoders.linear_numbers import LINEAR
from cotrain.encoders.number_embedding import NumberEmbedding, check_embedding


@dataclass(frozen=True, kw_only=True)
class MLP:
    """One stage a width: linear, norm, activation, dropout, on the numbers beside every category's vector.

    widths: hidden widths, one stage each. dropout: after each activation, in [0, 1). activation: relu, gelu or silu.
    norm: none, layer or batch, before the activation. category_width: numbers a category becomes, or auto: by how many codes its column has.
    numbers: how numbers enter: linear (as they are), piecewise_linear or periodic.
    """

    name: ClassVar[str] = "mlp"
    widths: Sequence[int] = (256, 256)
    dropout: float = 0.1
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["none", "layer", "batch"] = "none"
    category_width: CategoryWidth = 8
    numbers: NumberEmbedding = LINEAR

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("mlp.widths", self.widths))
        check_share("mlp.dropout", self.dropout)
        check_activation("mlp", self.activation)
        check_category_width("mlp", self.category_width)
        check_embedding("mlp", self.numbers)
        if self.norm not in ("none", "layer", "batch"):
            raise ConfigError(f"mlp.norm must be none, layer or batch, got {self.norm!r}")

    def build(self, inputs: InputSpec, width: int | None = None) -> MLPEncoder:
        return MLPEncoder(inputs, self, width)


class MLPEncoder(nn.Module):
    """`embed` puts all columns side by side: a vector signal; `stages` are the hidden layers."""

    def __init__(self, inputs: InputSpec, settings: MLP, width: int | None) -> None:
        super().__init__()
        self.columns = Columns("mlp", inputs, category_width=settings.category_width, numbers=settings.numbers)
        self.project = nn.Linear(self.columns.width, width) if width is not None else None
        wide = self.columns.width if width is None else width
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
        flat = self.columns(fields)
        return Signal(flat if self.project is None else self.project(flat))
