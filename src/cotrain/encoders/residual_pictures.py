"""Residual networks on one picture (ResNet-18, 34 and 50 of He et al. 2016)."""

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
from cotrain.encoders.conv_layers import check_norm, convolution, norm_of
from cotrain.encoders.layers import check_share
from cotrain.encoders.pictures import Picture

WIDTHS = (64, 128, 256, 512)
"""Channels of the four groups at width 1."""

SMALL = 64
"""Pictures of at most so many places a side keep their size in the stem, where it is left to `auto`."""


@dataclass(frozen=True, kw_only=True)
class PictureResNet:
    """What ResNet-18, 34 and 50 have in common; the settings are told at `ResNet18`."""

    name: ClassVar[str]
    source: ClassVar[str] = "K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
    blocks: ClassVar[tuple[int, int, int, int]]
    bottleneck: ClassVar[bool] = False
    width: float = 1.0
    stem: Literal["auto", "small", "large"] = "auto"
    stages: Literal["groups", "blocks"] = "groups"
    norm: Literal["batch", "group"] = "batch"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.width, bool) or not 0 < self.width < float("inf"):
            raise ConfigError(f"{self.name}.width multiplies all channels and must be above 0, got {self.width!r}")
        if self.stem not in ("auto", "small", "large"):
            raise ConfigError(f"{self.name}.stem must be auto, small or large, got {self.stem!r}")
        if self.stages not in ("groups", "blocks"):
            raise ConfigError(f"{self.name}.stages must be groups or blocks, got {self.stages!r}")
        check_norm(self.name, self.norm, none=False)
        check_share(f"{self.name}.dropout", self.dropout)

    def build(self, inputs: InputSpec, width: int | None = None) -> PictureResNetEncoder:
        return PictureResNetEncoder(inputs, self, width)


@dataclass(frozen=True, kw_only=True)
class ResNet18(PictureResNet):
    """ResNet-18: relu(shortcut(x) + F(x)) in four groups of 2 blocks of 64, 128, 256 and 512 channels; each group but the first begins by halving the map.

    F: two 3 x 3 convolutions (ResNet-18 and 34), or 1 x 1, 3 x 3, 1 x 1 with four times the channels at the end (ResNet-50), each with a norm.
    shortcut: x itself, or a 1 x 1 convolution with a norm where the shape changes.
    width: factor on all channels, above 0. stem: what stands before the groups and belongs to `embed`: `large`, a 7 x 7 convolution of stride 2 and a 3 x 3
    max-pooling of stride 2, as in the paper; `small`, a 3 x 3 convolution, which keeps the size (the paper's for CIFAR-10); `auto`, small
    for pictures of up to 64 x 64. stages: what can be shared piece by piece, the four `groups` or all `blocks`. norm: batch, as in
    the paper, or group (groups of about 16 channels), which does not look at other rows. dropout: chance that a whole channel is left out
    after a group, in [0, 1).

    Source: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016, table 1 and section 3.3, shortcuts of kind B.
    Differs from the paper: in ResNet-50 the 3 x 3 convolution takes the stride, as is usual since; layers begin as PyTorch draws them.
    """

    name: ClassVar[str] = "resnet18"
    blocks: ClassVar[tuple[int, int, int, int]] = (2, 2, 2, 2)


@dataclass(frozen=True, kw_only=True)
class ResNet34(PictureResNet):
    """ResNet-34: 3, 4, 6 and 3 blocks a group; everything else is as in `resnet18`."""

    name: ClassVar[str] = "resnet34"
    blocks: ClassVar[tuple[int, int, int, int]] = (3, 4, 6, 3)


@dataclass(frozen=True, kw_only=True)
class ResNet50(PictureResNet):
    """ResNet-50: 3, 4, 6 and 3 bottlenecks a group, four times the channels after each; everything else is as in `resnet18`."""

    name: ClassVar[str] = "resnet50"
    blocks: ClassVar[tuple[int, int, int, int]] = (3, 4, 6, 3)
    bottleneck: ClassVar[bool] = True


class PictureResNetEncoder(nn.Module):
    """`embed` is the stem; a stage is a group of residual blocks, or one block; all layers can be stacked."""

    def __init__(self, inputs: InputSpec, settings: PictureResNet, width: int | None) -> None:
        super().__init__()
        self.picture = Picture(settings.name, inputs)
        widths = [max(1, round(one * settings.width)) for one in WIDTHS]
        small = settings.stem == "small" or (settings.stem == "auto" and max(self.picture.size) <= SMALL)
        stem: list[nn.Module] = [
            convolution(self.picture.channels, widths[0], 3 if small else 7, stride=1 if small else 2),
            norm_of(settings.norm, widths[0]),
            nn.ReLU(),
        ]
        if not small:
            stem.append(nn.MaxPool2d(3, 2, 1))
        if width is not None:
            stem.append(nn.Conv2d(widths[0], width, 1))
        self.stem = nn.Sequential(*stem)
        wide, stride = width or widths[0], 1 if small else 4
        stages: list[nn.Module] = []
        self.shapes: Sequence[Shape] = [Shape("map", wide, stride)]
        for group, (inner, count) in enumerate(zip(widths, settings.blocks, strict=True)):
            after = 4 * inner if settings.bottleneck else inner
            layers: list[nn.Module] = []
            for block in range(count):
                step = 2 if group and not block else 1
                layers += [_block(settings, wide, inner, after, step), nn.ReLU()]
                wide, stride = after, stride * step
                last = block == count - 1
                if last and settings.dropout:
                    layers.append(nn.Dropout2d(settings.dropout))
                if last or settings.stages == "blocks":
                    stages.append(Stage(*layers))
                    self.shapes.append(Shape("map", wide, stride))
                    layers = []
        self.stages = nn.ModuleList(stages)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return Signal(self.stem(self.picture(fields)), "map")


def _block(settings: PictureResNet, before: int, inner: int, after: int, stride: int) -> Residual:
    """F and its shortcut; the activation after the sum is not in it."""
    sizes = [(before, inner, 3, stride), (inner, after, 3, 1)]
    if settings.bottleneck:
        sizes = [(before, inner, 1, 1), (inner, inner, 3, stride), (inner, after, 1, 1)]
    layers: list[nn.Module] = []
    for one, other, kernel, step in sizes:
        layers += [convolution(one, other, kernel, stride=step), norm_of(settings.norm, other), nn.ReLU()]
    shortcut = None
    if stride > 1 or before != after:
        shortcut = nn.Sequential(convolution(before, after, 1, stride=stride), norm_of(settings.norm, after))
    return Residual(*layers[:-1], shortcut=shortcut)
