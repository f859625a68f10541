"""Encoders: from a source's fields into the shared space, and the stages that can be shared.

>>> from cotrain.core.spec import FieldSpec
>>> from cotrain.encoders import MLP
>>> encoder = MLP(widths=[16, 8]).build({"numbers": FieldSpec("number", names=("a", "b"))})
>>> [shape.width for shape in encoder.shapes]
[2, 16, 8]
"""

from cotrain.encoders.mlp import MLP
from cotrain.encoders.tabm import TabM

__all__ = ["MLP", "TabM"]
