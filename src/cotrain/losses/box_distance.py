"""How far the four numbers of a box are off: absolute and squared distance."""

from __future__ import annotations

from torch import Tensor

from cotrain.core.fields import Field, weighted
from cotrain.losses.boxes import beyond, box_pair


def box_l1(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w mean_i |b_i - t_i|, and sum w: b and t are predicted and true cx, cy, w, h in shares of the picture.

    output: [N, 4], read through a sigmoid (`cotrain.losses.boxes.predicted`). target.values: [N, 4] corners. 0 where the boxes are the same.
    Source: N. Carion et al., ECCV 2020, section 3.1, whose sum over the four numbers is here their mean.

    >>> import torch
    >>> total, _ = box_l1(torch.zeros(1, 4), Field.dense(torch.tensor([[0.25, 0.25, 0.75, 0.5]])), None)
    >>> float(total)  # the middle is .125 too low and the height .25 too large
    0.09375
    """
    guess, truth = box_pair(output, target)
    return weighted((guess - truth).abs() + beyond(output), target, weight)


def box_squared(output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """sum w mean_i (b_i - t_i)^2, and sum w; output, target, b and t as in `box_l1`.

    The classic loss of a regressed box: P. Sermanet et al., OverFeat, ICLR 2014, section 4.2. An error of a tenth weighs a hundred times one of a
    hundredth, and a large box more than a small one.
    """
    guess, truth = box_pair(output, target)
    return weighted((guess - truth).square() + beyond(output), target, weight)
