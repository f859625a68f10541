"""Every balancing method by its name in a config."""

from __future__ import annotations

from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.gallery import Gallery

BALANCERS = Gallery(
    "balancer",
    (
        Sum,
        Uncertainty,
        NashMTL,
    ),
)

DEFAULT = Sum
"""What balances where nobody chose."""
