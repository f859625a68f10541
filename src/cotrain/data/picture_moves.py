"""Pictures moved at random: mirrored, shifted, turned, resized, sheared, in one affine map a picture and one resampling.

A map is a matrix [2, 3] in shares of the picture, (0, 0) at the upper left: a point p goes to q = A p + b. What lies in the picture (a box) is moved
by the same matrix. Shapes: B pictures, C channels, H x W places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.errors import ConfigError, unknown

Flip = Literal["none", "horizontal", "vertical", "both"]
Fill = Literal["zeros", "border", "reflection"]


@dataclass(frozen=True, kw_only=True)
class AffineSettings:
    """Each picture turned, resized, shifted and sheared about its middle by amounts drawn evenly up to these.

    rotate, shear: degrees, 0 to 180 and 0 to 60. scale: .2 draws factors from 1 / 1.2 to 1.2, evenly in their logarithm. translate: share of width and
    of height, 0 to 1. All are 0 unless given. fill: what lies beyond the picture: zeros, its border drawn out, or its reflection.
    """

    rotate: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    shear: float = 0.0
    fill: Fill = "zeros"

    def __post_init__(self) -> None:
        for name, most in (("rotate", 180.0), ("scale", math.inf), ("translate", 1.0), ("shear", 60.0)):
            value = getattr(self, name)
            if not 0 <= value <= most or value == math.inf:
                limit = "of at least 0" if most == math.inf else f"from 0 to {most:g}"
                raise ConfigError(f"affine.{name} of an augmentation must be a number {limit}, got {value}")
        if self.fill not in get_args(Fill):
            raise ConfigError(unknown("affine.fill of an augmentation", str(self.fill), get_args(Fill)))


def uniform(rows: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """[rows] numbers drawn evenly between low and high."""
    return torch.rand(rows, generator=generator) * (high - low) + low


def flips(rows: int, flip: Flip, generator: torch.Generator) -> Tensor:
    """[rows, 2, 3] each picture mirrored along the axes that `flip` names, with a chance of a half each."""
    matrix = _still(rows)
    for place, axis in enumerate(("horizontal", "vertical")):
        mirrored = torch.rand(rows, generator=generator) < 0.5
        if flip in (axis, "both"):
            matrix[mirrored, place, place] = -1.0
            matrix[mirrored, place, 2] = 1.0
    return matrix


def crops(rows: int, padding: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """[rows, 2, 3] each picture shifted by whole pixels, at most `padding` either way: a crop of the padded picture. size: (H, W).

    Source: K. He et al., Deep Residual Learning, CVPR 2016, section 4.2: 4 pixels of zeros on each side of 32 x 32.
    """
    matrix = _still(rows)
    shift = torch.randint(-padding, padding + 1, (rows, 2), generator=generator)
    matrix[:, :, 2] = shift / torch.tensor([size[1], size[0]])
    return matrix


def affines(rows: int, settings: AffineSettings, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """[rows, 2, 3] random affine maps about the middle; turns are turns in pixels, whatever the picture's sides. size: (H, W)."""
    turn = torch.deg2rad(uniform(rows, -settings.rotate, settings.rotate, generator))
    grow = torch.exp(uniform(rows, -1.0, 1.0, generator) * math.log1p(settings.scale))
    lean = torch.tan(torch.deg2rad(uniform(rows, -settings.shear, settings.shear, generator)))
    shift = (torch.rand(rows, 2, generator=generator) * 2 - 1) * settings.translate
    sheared = _still(rows)[:, :, :2]
    sheared[:, 0, 1] = lean
    turned = torch.stack([torch.stack([turn.cos(), -turn.sin()], 1), torch.stack([turn.sin(), turn.cos()], 1)], 1)
    sides = torch.tensor([float(size[1]), float(size[0])])
    linear = (turned @ sheared) * grow.reshape(-1, 1, 1)
    linear = linear * sides / sides.unsqueeze(1)  # S^-1 A S: from pixels to shares
    middle = torch.full((2,), 0.5)
    return torch.cat([linear, (middle - linear @ middle + shift).unsqueeze(2)], 2)


def after(second: Tensor, first: Tensor) -> Tensor:
    """[B, 2, 3] first one map, then the other.

    >>> mirrored = torch.tensor([[[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    >>> after(mirrored, mirrored).tolist()
    [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    linear = second[:, :, :2]
    return torch.cat([linear @ first[:, :, :2], linear @ first[:, :, 2:] + second[:, :, 2:]], 2)


def moved(pictures: Tensor, matrix: Tensor, *, exact: bool, fill: Fill = "zeros") -> Tensor:
    """[B, C, H, W] float pictures after the maps. exact: every place is one of the old ones (mirroring, whole pixels), else between them.

    >>> mirrored = torch.tensor([[[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    >>> moved(torch.tensor([[[[1.0, 2.0, 3.0]]]]), mirrored, exact=True).tolist()
    [[[[3.0, 2.0, 1.0]]]]
    """
    back = torch.linalg.inv(matrix[:, :, :2])
    # in grid_sample's coordinates x = 2 p - 1 the way back is x -> A^-1 x + (A^-1 (1 - 2 b) - 1)
    offset = back @ (1 - 2 * matrix[:, :, 2:]) - 1
    theta = torch.cat([back, offset], 2).to(pictures)
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(
        pictures, grid, mode="nearest" if exact else "bilinear", padding_mode=fill, align_corners=False
    )


def _still(rows: int) -> Tensor:
    return torch.eye(2, 3).repeat(rows, 1, 1)
