"""Colours of pictures changed at random, and parts of them erased. Shapes: B pictures, C channels, H x W places; values of 0 to 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.data.picture_moves import uniform

GREY = (0.299, 0.587, 0.114)
"""Luma of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class ColourSettings:
    """Factors drawn evenly from 1 - x to 1 + x, each in 0 to 1: of all values, of the distance from the mean grey, of the distance from the own grey.

    0, as all are unless given, changes nothing. saturation: of three channels only; others have no colour and stay as they are.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"colour.{name} of an augmentation must be a number from 0 to 1, got {getattr(self, name)}"
                )


def coloured(pictures: Tensor, settings: ColourSettings, generator: torch.Generator) -> Tensor:
    """[B, C, H, W] with brightness, then contrast, then saturation changed, a factor of its own a picture, cut to 0 to 1."""
    rows = len(pictures)
    light, apart, colour = (
        uniform(rows, 1 - x, 1 + x, generator).to(pictures).reshape(-1, 1, 1, 1)
        for x in (settings.brightness, settings.contrast, settings.saturation)
    )
    lit = (pictures * light).clamp(0, 1)
    middle = grey(lit).mean((1, 2, 3), keepdim=True)
    seen = (middle + (lit - middle) * apart).clamp(0, 1)
    if pictures.shape[1] != 3:
        return seen
    own = grey(seen)
    return (own + (seen - own) * colour).clamp(0, 1)


def grey(pictures: Tensor) -> Tensor:
    """[B, 1, H, W] the luma of three channels, the mean of any other number."""
    if pictures.shape[1] != 3:
        return pictures.mean(1, keepdim=True)
    return (pictures * torch.tensor(GREY).to(pictures).reshape(1, 3, 1, 1)).sum(1, keepdim=True)


def erased(pictures: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """[B, C, H, W] with a rectangle of each picture set to the picture's mean, with a chance of a half.

    most: largest share of the area; the share is drawn evenly from .02 (or `most`, if less) to it, the ratio of the sides from .3 to 1 / .3, evenly in its logarithm.

    Source: Z. Zhong et al., Random Erasing Data Augmentation, AAAI 2020, algorithm 1, with its chance, ratio and least area; there values are drawn, and a
    rectangle that does not fit is drawn anew, where here its sides are cut to the picture's.
    """
    rows, _, height, width = pictures.shape
    hit = torch.rand(rows, generator=generator) < 0.5
    area = uniform(rows, min(0.02, most), most, generator) * height * width
    ratio = torch.exp(uniform(rows, math.log(0.3), -math.log(0.3), generator))
    tall = (area * ratio).sqrt().round().clamp(1, height)
    wide = (area / ratio).sqrt().round().clamp(1, width)
    top = (torch.rand(rows, generator=generator) * (height - tall + 1)).floor()
    left = (torch.rand(rows, generator=generator) * (width - wide + 1)).floor()
    within = _between(top, tall, height).unsqueeze(2) & _between(left, wide, width).unsqueeze(1)
    gone = (within & hit.reshape(-1, 1, 1)).unsqueeze(1).to(pictures.device)
    return torch.where(gone, pictures.mean((2, 3), keepdim=True), pictures)


def _between(start: Tensor, length: Tensor, places: int) -> Tensor:
    at = torch.arange(places)
    return (at >= start.unsqueeze(1)) & (at < (start + length).unsqueeze(1))
