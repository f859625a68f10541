"""IMTL: losses brought to one scale, then gradients with equal projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from cotrain.balance.careful import GramianWeigher, gramian_of
from cotrain.balance.imtl_g import imtlg_weights
from cotrain.balance.learnt import Learnt
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError


@final
class IMTL(GramianWeigher):
    """`IMTLL`'s scales e^{s_k} on the losses, `IMTLG` on the gradients of the scaled losses: w_k = a_k e^{s_k}, sum_k a_k = 1.

    The direction is `IMTLG`'s, which no scaling of a loss changes; the scales decide the step's length, d = sum_k w_k g_k having
    the projection 1 / sum_k a'_k of scaled gradients. Difference: in the paper the scales also weight each task's own head;
    here a gradient method leaves heads at their task's unit gradient (an optimiser such as Adam cannot tell). s starts at 0 and
    steps by its own Adam, without weight decay, after each answer; `lr` as in `IMTLL`. Raises ConfigError for lr <= 0.

    Source: Liu et al., "Towards Impartial Multi-task Learning", ICLR 2021 (checked against LibMTL's code).

    >>> gramian = torch.tensor([[1.0, 0.3], [0.3, 9.0]], dtype=torch.float64)
    >>> [round(weight, 6) for weight in IMTL().weights(gramian, torch.tensor([2.0, 0.5])).tolist()]
    [0.75, 0.25]
    """

    name: ClassVar[str] = "imtl"
    family: ClassVar[Family] = "gradient"
    source: ClassVar[str] = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021"
    cost: ClassVar[str] = "1 Gramian step"
    needs: frozenset[Need] = frozenset({"losses", "gramian"})

    def __init__(self, *, lr: float = 0.025) -> None:
        super().__init__()
        if not lr > 0:
            raise ConfigError(f"imtl: lr must be positive; got {lr}; 0.025 is the default")
        self._scale = Learnt(lr=lr)

    def answer(self, seen: Seen) -> Tensor:
        """The weights a_k e^{s_k} [T]; then s steps."""
        scale = torch.exp(self._scale.read(seen.tasks, seen.losses))
        self._scale.step(seen.tasks, scale * seen.losses - 1)
        return imtlg_weights(scale * gramian_of(seen) * scale.unsqueeze(-1)) * scale

    def own_state(self) -> dict[str, Any]:
        """The scales by task, and their Adam."""
        return {"scale": self._scale.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._scale.load_state_dict(state["scale"])
