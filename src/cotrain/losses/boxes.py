"""Boxes in a picture: their two forms, how far two of them overlap, and the box that four outputs stand for.

Shapes: N boxes. All numbers are shares of the picture's width and height. corners: [N, 4] x0, y0, x1, y1 (left, top, right, bottom).
centre: [N, 4] cx, cy, w, h.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cotrain.core.errors import DataError
from cotrain.core.fields import Field

FAR = 6.0
"""Outputs further from 0 are drawn back; their sigmoid is .0025 or .9975."""

LEAST_AREA = 1e-12
"""Areas and squared lengths are divided by at least this, so that boxes of no size give no NaN."""


def corners_of(centre: Tensor) -> Tensor:
    """[N, 4] x0, y0, x1, y1 from cx, cy, w, h.

    >>> corners_of(torch.tensor([[0.5, 0.25, 0.5, 0.25]])).tolist()
    [[0.25, 0.125, 0.75, 0.375]]
    """
    middle, half = centre[:, :2], centre[:, 2:] / 2
    return torch.cat([middle - half, middle + half], 1)


def centre_of(corners: Tensor) -> Tensor:
    """[N, 4] cx, cy, w, h from x0, y0, x1, y1: the inverse of `corners_of`."""
    low, high = corners[:, :2], corners[:, 2:]
    return torch.cat([(low + high) / 2, high - low], 1)


def predicted(output: Tensor) -> Tensor:
    """[N, 4] the box an output z [N, 4] stands for: (cx, cy, w, h) = sigmoid(z), in float32 or wider.

    Source: N. Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, section 3.2: centre and size in shares, by a sigmoid.

    >>> predicted(torch.zeros(1, 4)).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    """
    return torch.sigmoid(output.to(torch.promote_types(output.dtype, torch.float32)))


def output_of(centre: Tensor, least: float = 0.0025) -> Tensor:
    """[N, 4] the output that stands for this box; its shares are kept `least` away from 0 and 1, where outputs are at most `FAR`."""
    return torch.logit(centre.clamp(least, 1 - least))


def beyond(output: Tensor) -> Tensor:
    """[N, 4] by how much outputs are larger than `FAR` in size, which every box loss adds: 0 for boxes with shares of .0025 to .9975.

    Beyond it the sigmoid has no slope, and a head of many features can be carried there by a few steps of Adam; without this it would stay.

    >>> beyond(torch.tensor([[7.0, -6.5, 0.0, 3.0]])).tolist()
    [[1.0, 0.5, 0.0, 0.0]]
    """
    return (output.to(torch.promote_types(output.dtype, torch.float32)).abs() - FAR).clamp_min(0)


def box_pair(output: Tensor, target: Field) -> tuple[Tensor, Tensor]:
    """([N, 4] predicted, [N, 4] true) boxes as cx, cy, w, h in one dtype; boxes that are not held are 0.

    Raises DataError unless both are [N, 4].
    """
    if target.values.dim() != 2 or target.values.shape[1] != 4 or output.shape != target.values.shape:
        raise DataError(
            f"a box loss compares outputs [N, 4] with boxes [N, 4], got outputs of shape {tuple(output.shape)} "
            f"and targets of shape {tuple(target.values.shape)}"
        )
    guess, truth = predicted(output), target.filled()
    dtype = torch.promote_types(guess.dtype, truth.dtype) if truth.is_floating_point() else guess.dtype
    return guess.to(dtype), centre_of(truth.to(dtype))


@dataclass(frozen=True)
class Overlap:
    """How two boxes lie, [N] each: intersection over union, the union's area, and the area and squared diagonal of the hull of both."""

    iou: Tensor
    union: Tensor
    hull: Tensor
    diagonal: Tensor


def overlap(one: Tensor, other: Tensor) -> Overlap:
    """The overlap of boxes given by their corners, [N, 4] each. A box of no size overlaps with nothing.

    >>> two = overlap(torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([[0.25, 0.0, 0.75, 0.5]]))
    >>> round(float(two.iou), 4), float(two.union), float(two.hull)
    (0.3333, 0.375, 0.375)
    """
    inner = torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])
    outer = torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])
    both = inner.clamp_min(0).prod(1)
    union = _area(one) + _area(other) - both
    return Overlap(both / union.clamp_min(LEAST_AREA), union, outer.prod(1), outer.square().sum(1))


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).prod(1)
