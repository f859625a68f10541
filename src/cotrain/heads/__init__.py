"""Heads: from a task's signals to its numbers. A head owns its pooling and says what layout it wants.

>>> import torch
>>> from cotrain.core.signals import Shape, Signal
>>> from cotrain.heads import LinearHead
>>> head = LinearHead().build([Shape("vector", 4)], outputs=3)
>>> tuple(head([Signal(torch.zeros(2, 4))]).shape)
(2, 3)
"""

from cotrain.heads.linear import LinearHead
from cotrain.heads.mlp import MLPHead
from cotrain.heads.proportional import ProportionalHead
from cotrain.heads.wide_deep import WideDeepHead

__all__ = ["LinearHead", "MLPHead", "ProportionalHead", "WideDeepHead"]
