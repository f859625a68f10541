"""A plain convolutional net on one picture."""

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
from cotrain.encoders.conv_layers import MapNorm, check_norm, convolution, norm_of
from cotrain.encoders.layers import ACTIVATIONS, check_activation, check_count, check_share
from cotrain.encoders.pictures import Picture


@dataclass(frozen=True, kw_only=True)
class ConvNet:
    """One stage a width: convolution, norm, activation, `convolutions` times; then, every `pool_every` stages, the map is halved.

    widths: channels after each stage. convolutions: how many a stage has. kernel: their size, odd; edges are padded with zeros, so that only
    pooling makes the map smaller: a size n becomes ceil(n / 2). pool: max or mean of 2 x 2 places, or stride (the stage's last convolution
    takes every second place). pool_every: 1 halves after each stage. norm: batch, group (groups of about 16 channels) or none.
    activation: relu, gelu or silu. dropout: chance that a whole channel is left out after a stage, in [0, 1).

    Pictures of 32 x 32 leave the default as 4 x 4 places of 128 channels; the head pools them (`pool: grid` keeps where things are).

    Source: VGG's blocks of 3 x 3 convolutions (K. Simonyan, A. Zisserman, ICLR 2015) with batch norm (S. Ioffe, C. Szegedy, ICML 2015).
    """

    name: ClassVar[str] = "convnet"
    widths: Sequence[int] = (32, 64, 128)
    convolutions: int = 1
    kernel: int = 3
    pool: Literal["max", "mean", "stride"] = "max"
    pool_every: int = 1
    norm: MapNorm = "batch"
    activation: Literal["relu", "gelu", "silu"] = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("convnet.widths", self.widths))
        check_count("convnet.convolutions", self.convolutions)
        check_count("convnet.kernel", self.kernel)
        if self.kernel % 2 == 0:
            raise ConfigError(f"convnet.kernel must be odd, so that a place stays in the middle, got {self.kernel}")
        if self.pool not in ("max", "mean", "stride"):
            raise ConfigError(f"convnet.pool must be max, mean or stride, got {self.pool!r}")
        check_count("convnet.pool_every", self.pool_every)
        check_norm("convnet", self.norm, none=True)
        check_activation("convnet", self.activation)
        check_share("convnet.dropout", self.dropout)

    def build(self, inputs: InputSpec, width: int | None = None) -> ConvNetEncoder:
        return ConvNetEncoder(inputs, self, width)


class ConvNetEncoder(nn.Module):
    """`embed` is the standardised picture; each stage is a block of convolutions, all layers of which can be stacked."""

    def __init__(self, inputs: InputSpec, settings: ConvNet, width: int | None) -> None:
        super().__init__()
        self.picture = Picture("convnet", inputs)
        wide = self.picture.channels if width is None else width
        self.project = nn.Conv2d(self.picture.channels, width, 1) if width is not None else None
        stride = 1
        stages: list[nn.Module] = []
        self.shapes: Sequence[Shape] = [Shape("map", wide)]
        for place, after in enumerate(settings.widths):
            halved = (place + 1) % settings.pool_every == 0
            stages.append(Stage(*_block(settings, wide, after, halved)))
            wide, stride = after, stride * (2 if halved else 1)
            self.shapes.append(Shape("map", wide, stride))
        self.stages = nn.ModuleList(stages)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        picture = self.picture(fields)
        return Signal(picture if self.project is None else self.project(picture), "map")


def _block(settings: ConvNet, before: int, after: int, halved: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for place in range(settings.convolutions):
        strided = halved and settings.pool == "stride" and place == settings.convolutions - 1
        bias = settings.norm == "none"  # a norm has an offset of its own
        layers.append(convolution(before, after, settings.kernel, stride=2 if strided else 1, bias=bias))
        layers += [] if bias else [norm_of(settings.norm, after)]
        layers.append(ACTIVATIONS[settings.activation]())
        before = after
    if halved and settings.pool != "stride":
        pool = nn.MaxPool2d if settings.pool == "max" else nn.AvgPool2d
        layers.append(pool(2, ceil_mode=True))
    if settings.dropout:
        layers.append(nn.Dropout2d(settings.dropout))
    return layers
