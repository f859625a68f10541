"""Pictures of digits placed on a noisy canvas, at a random size and place: two tasks, which digit it is and where it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cotrain.core.randomness import generator


@dataclass(frozen=True)
class Placed:
    """pictures: [N, S, S] uint8. boxes: [N, 4] x0, y0, x1, y1 in pixels, tight around the ink: whole numbers, x1 and y1 just beyond it."""

    pictures: Tensor
    boxes: Tensor


def place(ink: Tensor, *, canvas: int, heights: tuple[int, int], noise: float = 0.1, seed: int = 0) -> Placed:
    """Every picture of bright ink on black, cut to its ink, resized and put somewhere on a canvas of noise.

    ink: [N, H, W] of 0 to 1. canvas: S, its sides. heights: the ink's height in pixels is drawn evenly between these two (less where it would be wider
    than the canvas). noise: the canvas holds |e|, e normal of this standard deviation; ink is laid over it by the larger of the two.
    What is drawn depends on `seed` alone.

    >>> placed = place(torch.ones(1, 4, 2), canvas=16, heights=(8, 8), noise=0.0)
    >>> box = placed.boxes[0]
    >>> (box[2:] - box[:2]).tolist(), int((placed.pictures[0] == 255).sum())
    ([4, 8], 32)
    """
    draws = generator(seed, "placed digits")
    count = len(ink)
    ground = (torch.randn(count, canvas, canvas, generator=draws) * noise).abs().clamp(0, 1)
    tall = torch.randint(heights[0], heights[1] + 1, (count,), generator=draws)
    where = torch.rand(count, 2, generator=draws)
    boxes = torch.zeros(count, 4, dtype=torch.int64)
    for row in range(count):
        cut = _cut(ink[row])
        height = int(tall[row])
        width = max(1, round(cut.shape[1] * height / cut.shape[0]))
        if width > canvas:
            height, width = max(1, round(height * canvas / width)), canvas
        sized = F.interpolate(cut[None, None], (height, width), mode="bilinear", align_corners=False, antialias=True)
        left, top = _lay(ground[row], sized[0, 0], where[row])
        boxes[row] = torch.tensor([left, top, left + width, top + height])
    return Placed((ground * 255).round().to(torch.uint8), boxes)


def _cut(ink: Tensor) -> Tensor:
    """The least part that holds all ink."""
    rows, columns = (ink > 0).any(1).nonzero().squeeze(1), (ink > 0).any(0).nonzero().squeeze(1)
    if not len(rows):
        return ink
    return ink[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def _lay(ground: Tensor, part: Tensor, where: Tensor) -> tuple[int, int]:
    """Lay a part over the ground, in place, at shares of the room there is; (left, top) of where it lies."""
    high, wide = part.shape
    left = int(where[0] * (ground.shape[1] - wide + 1))
    top = int(where[1] * (ground.shape[0] - high + 1))
    spot = ground[top : top + high, left : left + wide]
    spot.copy_(torch.maximum(spot, part))
    return left, top
