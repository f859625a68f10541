"""Losses: pure functions `(output, target, weight) -> (sum, count)`, one file each; those with settings are frozen values that are called alike.

Every loss is >= 0 and 0 at a perfect answer, so that dividing by the loss of the best constant prediction means something.

>>> import torch
>>> from cotrain.core.fields import Field
>>> from cotrain.losses import squared_error
>>> total, count = squared_error(torch.tensor([[1.0], [3.0]]), Field.dense(torch.tensor([[0.0], [1.0]])), None)
>>> float(total), float(count)
(5.0, 2.0)
"""

from cotrain.losses.absolute_error import absolute_error
from cotrain.losses.binary_cross_entropy import BinaryCrossEntropy, binary_cross_entropy
from cotrain.losses.box_distance import box_l1, box_squared
from cotrain.losses.ciou import ciou
from cotrain.losses.cross_entropy import CrossEntropy, cross_entropy
from cotrain.losses.cumulative_link import CumulativeLink
from cotrain.losses.focal import BinaryFocal, Focal
from cotrain.losses.giou import giou
from cotrain.losses.l1_giou import L1GIoU
from cotrain.losses.log_squared_error import log_squared_error
from cotrain.losses.logistic_hazard import LogisticHazard
from cotrain.losses.negative_binomial import NegativeBinomialDeviance
from cotrain.losses.pinball import Pinball
from cotrain.losses.squared_error import squared_error
from cotrain.losses.tweedie_deviance import TweedieDeviance, gamma_deviance, poisson_deviance

__all__ = [
    "BinaryCrossEntropy",
    "BinaryFocal",
    "CrossEntropy",
    "Focal",
    "absolute_error",
    "binary_cross_entropy",
    "box_l1",
    "box_squared",
    "ciou",
    "cross_entropy",
    "CumulativeLink",
    "gamma_deviance",
    "giou",
    "L1GIoU",
    "log_squared_error",
    "LogisticHazard",
    "NegativeBinomialDeviance",
    "Pinball",
    "poisson_deviance",
    "squared_error",
    "TweedieDeviance",
]
