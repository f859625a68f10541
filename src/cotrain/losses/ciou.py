"""Complete intersection over union: overlap, distance of the centres, and shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cotrain.core.fields import Field, weighted
from cotrain.losses.boxes import beyond, box_pair, corners_of, overlap


def ciou(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (1 - IoU + d^2 / c^2 + alpha v), and sum w.

    d: distance of the two centres. c: diagonal of the least box around both. v = 4 / pi^2 (atan(w_t / h_t) - atan(w / h))^2 compares shapes,
    with alpha = v / (1 - IoU + v). All lengths are in shares of the picture, so that shapes are those in a picture made square.
    output: [N, 4], read through a sigmoid as centre and size. target.values: [N, 4] corners. 0 at the same box.

    Source: Z. Zheng et al., Distance-IoU Loss, AAAI 2020, equations 8 to 11. alpha is a factor without a gradient, as there; the gradient of v is
    its own, where the authors' code leaves out its divisor w^2 + h^2.

    >>> total, _ = ciou(torch.zeros(1, 4), Field.dense(torch.tensor([[0.25, 0.25, 0.75, 0.75]])), None)
    >>> float(total)
    0.0
    """
    guess, truth = box_pair(output, target)
    seen = overlap(corners_of(guess), corners_of(truth))
    apart = (guess[:, :2] - truth[:, :2]).square().sum(1) / seen.diagonal.clamp_min(1e-12)
    turn = torch.atan2(truth[:, 2], truth[:, 3]) - torch.atan2(guess[:, 2], guess[:, 3])
    shape = 4 / math.pi**2 * turn.square()
    alpha = (shape / (1 - seen.iou + shape).clamp_min(1e-12)).detach()
    element = (1 - seen.iou).clamp_min(0) + apart + alpha * shape
    return weighted(element + beyond(output).sum(1), target, weight)
