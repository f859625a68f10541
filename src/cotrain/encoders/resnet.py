"""Residual multilayer perceptron (ResNet of Gorishniy et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Residual, Stage
from cotrain.encoders.categories import CategoryWidth, check_category_width
from cotrain.encoders.columns import Columns
from cotrain.encoders.layers import ACTIVATIONS, check_activation, check_count, check_share
from cotrain.encoders.linear_numbers import LINEAR
from cotrain.encoders.number_embedding import NumberEmbedding, check_embedding


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """x + dropout(W_2 dropout(act(W_1 norm(x) + b_1)) + b_2): one stage a block; norm and activation once more after the last.

    blocks: how many, at least 1. width: of the vector that runs through them, into which a first linear layer leads. hidden: width inside a
    block, null for twice `width`. dropout: inside a block, residual_dropout: of what it adds, both in [0, 1). activation: relu, gelu or
    silu. norm: batch (as in the paper) or layer. category_width: numbers a category becomes, or auto: by how many codes its column has.
    numbers: how numbers enter: linear (as they are), piecewise_linear or periodic.

    Source: Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko, Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021,
    section 3.2. The paper tunes blocks from 1 to 8, widths from 64 to 512 and hidden widths from one to four times that.
    """

    name: ClassVar[str] = "resnet"
    source: ClassVar[str] = "Y. Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021"
    blocks: int = 2
    width: int = 192
    hidden: int | None = None
    dropout: float = 0.2
    residual_dropout: float = 0.0
    activation: Literal["relu", "gelu", "silu"] = "relu"
    norm: Literal["batch", "layer"] = "batch"
    category_width: CategoryWidth = "auto"
    numbers: NumberEmbedding = LINEAR

    def __post_init__(self) -> None:
        check_count("resnet.blocks", self.blocks)
        check_count("resnet.width", self.width)
        if self.hidden is not None:
            check_count("resnet.hidden", self.hidden)
        check_share("resnet.dropout", self.dropout)
        check_share("resnet.residual_dropout", self.residual_dropout)
        check_activation("resnet", self.activation)
        if self.norm not in ("batch", "layer"):
            raise ConfigError(f"resnet.norm must be batch or layer, got {self.norm!r}")
        check_category_width("resnet", self.category_width)
        check_embedding("resnet", self.numbers)

    def build(self, inputs: InputSpec, width: int | None = None) -> ResNetEncoder:
        return ResNetEncoder(inputs, self, width)


class ResNetEncoder(nn.Module):
    """`embed` leads all columns into a vector of the blocks' width; each stage is a block, the last one with a norm and an activation after it."""

    def __init__(self, inputs: InputSpec, settings: ResNet, width: int | None) -> None:
        super().__init__()
        self.columns = Columns("resnet", inputs, category_width=settings.category_width, numbers=settings.numbers)
        wide = width or settings.width
        self.project = nn.Linear(self.columns.width, wide)
        hidden = settings.hidden or 2 * wide
        norm = nn.BatchNorm1d if settings.norm == "batch" else nn.LayerNorm
        activation = ACTIVATIONS[settings.activation]
        stages: list[nn.Module] = []
        for place in range(settings.blocks):
            block = Residual(
                norm(wide),
                nn.Linear(wide, hidden),
                activation(),
                nn.Dropout(settings.dropout),
                nn.Linear(hidden, wide),
                nn.Dropout(settings.residual_dropout),
            )
            stages.append(Stage(block, *([norm(wide), activation()] if place == settings.blocks - 1 else [])))
        self.stages = nn.ModuleList(stages)
        self.shapes: Sequence[Shape] = [Shape("vector", wide)] * (settings.blocks + 1)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return Signal(self.project(self.columns(fields)))
