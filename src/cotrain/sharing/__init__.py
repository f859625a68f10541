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

from cotrain.sharing.adapters import Adapters
from cotrain.sharing.apart import Apart
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

__all__ = [
    "Adapters",
    "Apart",
    "Branched",
    "CGC",
    "Cascade",
    "CrossStitch",
    "DSelectK",
    "FeatureSelection",
    "FiLM",
    "Hard",
    "LoRA",
    "MMoE",
    "MTAN",
    "PLE",
    "SoftL2",
    "TaskRelation",
]
