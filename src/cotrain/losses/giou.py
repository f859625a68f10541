"""Generalised intersection over union: a loss in what boxes are judged by, with a gradient where they do not touch."""

from __future__ import annotations

from torch import Tensor

from cotrain.core.fields import Field, weighted
from cotrain.losses.boxes import beyond, box_pair, corners_of, overlap


def giou(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w (1 - GIoU), and sum w, with GIoU = |A n B| / |A u B| - |C - (A u B)| / |C|; C is the hull, the least box around A and B.

    Between 0, at the same box, and 2, for small boxes far apart; it does not change with the scale of the picture.
    output: [N, 4], read through a sigmoid as centre and size. target.values: [N, 4] corners in shares of the picture.

    Source: H. Rezatofighi et al., Generalized Intersection over Union, CVPR 2019, algorithm 2.

    >>> import torch
    >>> total, _ = giou(torch.zeros(1, 4), Field.dense(torch.tensor([[0.25, 0.25, 0.75, 0.5]])), None)
    >>> float(total)  # the true box is the upper half of the predicted one, which is the hull too
    0.5
    """
    guess, truth = box_pair(output, target)
    apart = giou_distance(corners_of(guess), corners_of(truth))
    return weighted(apart + beyond(output).sum(1), target, weight)


def giou_distance(one: Tensor, other: Tensor) -> Tensor:
    """[N] 1 - GIoU of boxes given by their corners, [N, 4] each; at least 0.

    >>> import torch
    >>> apart = giou_distance(torch.tensor([[0.0, 0.0, 0.25, 0.5]]), torch.tensor([[0.75, 0.0, 1.0, 0.5]]))
    >>> float(apart)  # no overlap, and half of the hull is neither box
    1.5
    """
    seen = overlap(one, other)
    empty = (seen.hull - seen.union) / seen.hull.clamp_min(1e-12)
    return (1 - seen.iou + empty).clamp_min(0)
