"""GradNorm: gradient norms at the last shared layer drawn together, faster for tasks that learn slowly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from cotrain.balance.careful import CarefulWeigher, gramian_of
from cotrain.balance.learnt import Learnt
from cotrain.balance.ledger import Ledger
from cotrain.balance.positive import checked_losses
from cotrain.balance.protocol import Family, Need, Seen
from cotrain.core.errors import ConfigError, UnsupportedError

Where = Literal["last", "all"]


def gradnorm_slope(weights: Tensor, norms: Tensor, rates: Tensor, alpha: float) -> Tensor:
    """The derivative [T] by w of sum_k |w_k n_k - m r_k^alpha|, with m = mean(w n) and r = rates / mean(rates) held fixed.

    It is n_k sign(w_k n_k - m r_k^alpha); n, rates are [T].
    """
    scaled = weights * norms
    target = scaled.mean() * (rates / rates.mean().clamp_min(torch.finfo(rates.dtype).tiny)) ** alpha
    return norms * torch.sign(scaled - target)


@final
class GradNorm(CarefulWeigher):
    """w minimises sum_k |w_k n_k - mean(w n) r_k^alpha| by one Adam step at each call, then is scaled to sum to T.

    n_k = |g_k| at the last shared layer (`where="last"`, the paper's choice) or on all shared parameters ("all", LibMTL's); r_k =
    (l_k / l_k(0)) / mean over tasks: the relative inverse training rate, l_k(0) the first loss seen. `alpha` 1.5 is the paper's
    value for NYUv2; `lr` 0.025 is as for what other methods learn; w starts at 1. The answer is the w before the step. A weight
    that would turn negative is held at 0, where the next step pulls it up again (the paper leaves the case open).

    The last layer is the last `tensors` entries of `layer_gramians`, the shared parameters registered last: 2, a weight and its
    bias, unless you say otherwise. Raises ConfigError for another `where`, alpha < 0, lr <= 0 or tensors < 1, TrainingError for a
    negative loss.

    Source: Chen et al., "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks", ICML 2018
    (checked against the code of SamsungLabs/MTL).

    >>> layers = torch.eye(2, dtype=torch.float64).unsqueeze(0)
    >>> GradNorm().weigh(Seen(("a", "b"), torch.tensor([2.0, 0.5]), step=0, layer_gramians=layers)).tolist()
    [1.0, 1.0]
    """

    name: ClassVar[str] = "gradnorm"
    family: ClassVar[Family] = "loss"
    source: ClassVar[str] = "Chen et al., GradNorm, ICML 2018"
    cost: ClassVar[str] = "1 Gramian step; one layer's diagonal is used"
    needs: frozenset[Need] = frozenset({"losses", "layer_gramians"})

    def __init__(self, *, alpha: float = 1.5, lr: float = 0.025, where: Where = "last", tensors: int = 2) -> None:
        super().__init__()
        if where not in ("last", "all"):
            raise ConfigError(f"gradnorm: where is 'last' or 'all'; got '{where}'; choose one of the two")
        if tensors < 1:
            raise ConfigError(
                f"gradnorm: tensors is at least 1; got {tensors}; 2 is the default, a weight and its bias"
            )
        if alpha < 0 or not lr > 0:
            raise ConfigError(f"gradnorm: alpha >= 0 and lr > 0; got {alpha} and {lr}; the defaults are 1.5 and 0.025")
        if where == "all":
            self.needs = frozenset({"losses", "gramian"})
        self._alpha, self._where, self._tensors = alpha, where, tensors
        self._weights = Learnt(lr=lr, start=1.0)
        self._first = Ledger([-1.0])

    def answer(self, seen: Seen) -> Tensor:
        """The weights w [T]; then w steps."""
        losses = checked_losses(seen, "GradNorm")
        first = self._first.read(seen.tasks, losses)
        first = torch.where(first < 0, losses, first)
        self._first.write(seen.tasks, first)
        rates = torch.where(first[0] > 0, losses / torch.where(first[0] > 0, first[0], 1.0), 1.0)
        weights = self._weights.read(seen.tasks, losses)
        weights = weights * (len(seen.tasks) / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny))
        norms = self._squares(seen).clamp_min(0.0).sqrt()
        norms = norms / norms.mean().clamp_min(torch.finfo(norms.dtype).tiny)  # Adam's eps is an absolute number
        self._weights.write(seen.tasks, weights)
        self._weights.step(seen.tasks, gradnorm_slope(weights, norms, rates, self._alpha))
        stepped = self._weights.read(seen.tasks, losses).clamp_min(0.0)
        self._weights.write(seen.tasks, stepped if bool(stepped.sum() > 0) else torch.ones_like(stepped))
        return weights

    def _squares(self, seen: Seen) -> Tensor:
        if self._where == "all":
            return gramian_of(seen).diagonal()
        if seen.layer_gramians is None:
            raise UnsupportedError(
                "GradNorm needs the Gramian of each shared layer; got none; use an engine in mode 'exact', or where='all'"
            )
        return seen.layer_gramians[-self._tensors :].sum(dim=0).diagonal()

    def own_state(self) -> dict[str, Any]:
        """The weights with their Adam, and the first losses, by task."""
        return {"weights": self._weights.state_dict(), "first": self._first.state_dict()}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `own_state`."""
        self._weights.load_state_dict(state["weights"])
        self._first.load_state_dict(state["first"])
