"""Balancing: from the losses of several tasks to one gradient.

A method is a `Weigher` (it answers with weights for what it has seen) or a `Combiner` (it is shown the gradients themselves); the
engine gathers, calls and applies. Importing this room loads torch and nothing else, so that it serves in any training loop.

>>> import torch
>>> from cotrain.balance import NashMTL
>>> NashMTL().weights(torch.eye(2))
tensor([1., 1.])
"""

from cotrain.balance.careful import CarefulWeigher as CarefulWeigher
from cotrain.balance.careful import GramianWeigher as GramianWeigher
from cotrain.balance.gallery import BALANCERS as BALANCERS
from cotrain.balance.nash_mtl import NashMTL as NashMTL
from cotrain.balance.protocol import Balancer as Balancer
from cotrain.balance.protocol import Combiner as Combiner
from cotrain.balance.protocol import Seen as Seen
from cotrain.balance.protocol import Weigher as Weigher
from cotrain.balance.sum import Sum as Sum
from cotrain.balance.uncertainty import Uncertainty as Uncertainty
