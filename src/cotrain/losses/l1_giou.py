"""The sum of distance and overlap that detection transformers are trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field, weighted
from cotrain.losses.boxes import beyond, box_pair, corners_of
from cotrain.losses.giou import giou_distance


@dataclass(frozen=True, kw_only=True)
class L1GIoU:
    """sum w (l1 sum_i |b_i - t_i| + giou (1 - GIoU)), and sum w; b and t are predicted and true cx, cy, w, h.

    The absolute distance alone asks little of small boxes, the overlap alone moves slowly where boxes do not touch; together they do neither.
    l1, giou: factors of at least 0, not both 0; 5 and 2 as in the source.
    Raises ConfigError for other factors.

    Source: N. Carion et al., End-to-End Object Detection with Transformers, ECCV 2020, section 3.1 and appendix A.4.

    >>> import torch
    >>> total, _ = L1GIoU()(torch.zeros(1, 4), Field.dense(torch.tensor([[0.25, 0.25, 0.75, 0.5]])), None)
    >>> float(total)  # 5 x .375 + 2 x .5
    2.875
    """

    l1: float = 5.0
    giou: float = 2.0

    def __post_init__(self) -> None:
        for name, value in (("l1", self.l1), ("giou", self.giou)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"the factor {name} of a box loss must be finite and at least 0, got {value}")
        if self.l1 == self.giou == 0:
            raise ConfigError("a box loss needs l1 or giou above 0, got 0 for both; leave them at 5 and 2")

    def __call__(self, output: Tensor, target: Field, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        guess, truth = box_pair(output, target)
        distance = (guess - truth).abs().sum(1)
        apart = giou_distance(corners_of(guess), corners_of(truth))
        return weighted(self.l1 * distance + self.giou * apart + beyond(output).sum(1), target, weight)
