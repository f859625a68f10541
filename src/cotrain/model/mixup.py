"""MixUp on features: a row's embedded signal mixed with that of another row of its batch, and its losses with both targets.

    z~_b = lambda z_b + (1 - lambda) z_p(b)                              after `embed`, so that categories mix too
    loss_b = lambda l(f(z~_b), t_b) + (1 - lambda) l(f(z~_b), t_p(b))    lambda ~ Beta(alpha, alpha), p a permutation of the rows

Counts mix by the same rule: a row without a label in one of the two counts for its share. Since p is a permutation, the labels of a batch
count for as much as without mixing.

Source: H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 2; one lambda a batch, as in the authors' code. That
the embedded signal is mixed in place of the raw input is V. Verma et al., Manifold Mixup, ICML 2019, at the first layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cotrain.core.errors import UnsupportedError
from cotrain.core.fields import Batch
from cotrain.core.signals import Signal


@dataclass(frozen=True)
class Mixing:
    """How the rows of one batch are mixed. share: lambda, of a row itself. partner: [B] int64, a permutation p."""

    share: float
    partner: Tensor

    def signal(self, signal: Signal) -> Signal:
        """The embedded rows mixed with their partners', each member of an ensemble with its own copy of them.

        Raises UnsupportedError for padded steps or places: two rows of different lengths have no mean.

        >>> Mixing(0.75, torch.tensor([1, 0])).signal(Signal(torch.tensor([[0.0], [4.0]]))).values.tolist()
        [[1.0], [3.0]]
        """
        if signal.mask is not None:
            raise UnsupportedError(
                "train.mixup mixes rows of one length, but the encoder answers padded rows (a mask); set train.mixup to null"
            )
        partner, rows = self.partner, len(self.partner)
        if signal.members > 1:
            first = rows * torch.arange(signal.members, device=partner.device)
            partner = (first.unsqueeze(1) + partner).reshape(-1)
        mixed = torch.lerp(signal.values[partner], signal.values, self.share)
        return replace(signal, values=mixed)

    def partners(self, batch: Batch) -> Batch:
        """The same inputs with the targets and weights of the partners."""
        targets = {name: one.select(self.partner) for name, one in batch.targets.items()}
        return replace(batch, targets=targets, weight=None if batch.weight is None else batch.weight[self.partner])

    def total(self, own: tuple[Tensor, Tensor], partners: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(sum, count) of a loss from those with the rows' own targets and with their partners'."""
        (a, counted), (b, others) = own, partners
        return self.share * a + (1 - self.share) * b, self.share * counted + (1 - self.share) * others


def draw_mixing(batch: Batch, alpha: float, generator: torch.Generator) -> Mixing:
    """A mixing for the rows of a batch, from a CPU generator. alpha: above 0; the smaller, the less is mixed.

    Raises UnsupportedError for ragged inputs and targets.

    >>> from cotrain.core.fields import Field
    >>> batch = Batch({"x": Field.dense(torch.zeros(4, 2))})
    >>> mixing = draw_mixing(batch, 0.2, torch.Generator().manual_seed(0))
    >>> sorted(mixing.partner.tolist()), 0 <= mixing.share <= 1
    ([0, 1, 2, 3], True)
    """
    for kind, fields in (("input", batch.inputs), ("target", batch.targets)):
        for name, one in fields.items():
            if one.offsets is not None:
                raise UnsupportedError(
                    f"train.mixup mixes one value a row, but {kind} '{name}' is ragged (it has offsets); set train.mixup to null"
                )
    order = torch.randperm(len(batch), generator=generator)
    device = next(iter(batch.inputs.values())).values.device
    return Mixing(beta(alpha, generator), order.to(device))


def beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha) = G1 / (G1 + G2), G of Gamma(alpha): made of logarithms, since G underflows for small alpha.

    log Gamma(alpha) = log Gamma(alpha + 1) + log(U) / alpha in distribution, U uniform (Marsaglia & Tsang, ACM TOMS 2000, section 6).
    """
    shapes = torch.full((2,), alpha + 1, dtype=torch.float64)
    uniform = 1 - torch.rand(2, generator=generator, dtype=torch.float64)
    logs = torch._standard_gamma(shapes, generator).log() + uniform.log() / alpha
    return float(torch.sigmoid(logs[0] - logs[1]))
