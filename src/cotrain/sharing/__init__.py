"""Sharing: which part of the network the tasks have in common. A sharing owns the encoder's stages and answers each task's signals.

>>> import torch
>>> from cotrain.core.spec import FieldSpec
>>> from cotrain.core.signals import Signal
>>> from cotrain.encoders import MLP
>>> from cotrain.sharing import MMoE
>>> encoder = MLP(widths=[16, 8]).build({"numbers": FieldSpec("number", names=("a", "b"))})
>>> shared = MMoE(experts=4).build(encoder.stages, encoder.shapes, ["income", "age"])
>>> {task: tuple(signals[-1].values.shape) for task, signals in shared(Signal(torch.zeros(3, 2))).items()}
{'income': (3, 8), 'age': (3, 8)}
"""

from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE

__all__ = ["Apart", "Hard", "MMoE"]
