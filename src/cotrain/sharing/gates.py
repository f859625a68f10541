"""Gates over experts: how much of each expert a row is given, and how evenly experts are used.

Shapes: B rows, E experts, D width. A gate [B, E] is not negative and sums to 1 over the experts.
Every task mixes for itself, from experts that all of them read: the tasks' gradients stay apart down to the experts' outputs, which are
the features where balancing at the features takes place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Signal

SMALL = 400
"""Experts x numbers a row below which PyTorch multiplies matrices of a batch one number after the other; a sum of products is faster."""


def check_chance(what: str, chance: float) -> None:
    """Raises ConfigError unless 0 <= chance < 1."""
    if not 0 <= chance < 1:
        raise ConfigError(f"{what} must lie in [0, 1), got {chance}")


class Gate(nn.Module):
    """softmax(W pool(z)), [B, E]. weight [E, D]; initial values N(0, 0.01^2), near uniform, so that at the start all experts learn.

    dropout: chance that an expert is left out for a row while training, [0, 1); where chance would leave out all, none is.
    """

    def __init__(self, width: int, experts: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(experts, width), std=0.01))
        self.dropout = dropout
        self.last: Tensor | None = None
        """The gate of the last forward, [B, E], without gradient."""

    def forward(self, signal: Signal) -> Tensor:
        logits = F.linear(signal.pooled(), self.weight)
        if self.training and self.dropout:
            dropped = torch.rand_like(logits) < self.dropout
            logits = logits.masked_fill(dropped & ~dropped.all(-1, keepdim=True), float("-inf"))
        gate = torch.softmax(logits, -1)
        self.last = gate.detach()
        return gate


def evenness(gate: Tensor) -> float | None:
    """Entropy of the mean gate over log E: 1 is even use of all experts, 0 is one expert for every row. None with one expert.

    >>> evenness(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), evenness(torch.tensor([[1.0, 0.0]]))
    (1.0, 0.0)
    """
    experts = gate.shape[-1]
    if experts == 1:
        return None
    mean = gate.reshape(-1, experts).double().mean(0)
    return float(-(mean * mean.clamp_min(1e-300).log()).sum()) / math.log(experts) + 0.0


def usage_of(gates: Mapping[str, Tensor | None]) -> dict[str, float]:
    """Of every gate [B, E] that has run: "expert_entropy/NAME", its evenness, and "expert_share/NAME/e", its mean weight for expert e.

    >>> usage_of({"age": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "pay": None})
    {'expert_entropy/age': 1.0, 'expert_share/age/0': 0.5, 'expert_share/age/1': 0.5}
    """
    figures: dict[str, float] = {}
    for name, gate in gates.items():
        even = None if gate is None else evenness(gate)
        if gate is not None and even is not None:
            figures[f"expert_entropy/{name}"] = even
            mean = gate.reshape(-1, gate.shape[-1]).double().mean(0)
            figures |= {f"expert_share/{name}/{at}": share for at, share in enumerate(mean.tolist())}
    return figures


def mixed(gate: Tensor, stacked: Sequence[Tensor] | Tensor) -> Tensor:
    """sum_e gate[b, e] f_e[b]: gate [B, E] and experts' outputs [E, B, ...] -> [B, ...].

    stacked: one tensor, or several whose experts follow one another. Where experts made an ensemble of every row, [E, M * B, ...], its
    members are mixed alike.

    >>> mixed(torch.tensor([[0.25, 0.75]]), torch.tensor([[[4.0]], [[8.0]]])).tolist()
    [[7.0]]
    """
    parts = [stacked] if isinstance(stacked, Tensor) else list(stacked)
    numbers = [part[:, 0].numel() for part in parts]
    if len(parts) > 1 and max(numbers) < SMALL <= sum(numbers):  # only together are they large enough for a product
        return _mixed(gate.to(parts[0].dtype), torch.cat([part.transpose(0, 1) for part in parts], 1).transpose(0, 1))
    weights = torch.split(gate.to(parts[0].dtype), [len(part) for part in parts], 1)
    out = _mixed(weights[0], parts[0])
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        out = out + _mixed(weight, part)
    return out


def _mixed(gate: Tensor, stacked: Tensor) -> Tensor:
    experts, rows = stacked.shape[:2]
    if rows != len(gate):
        gate = gate.repeat(rows // len(gate), 1)
    flat = stacked.flatten(2).transpose(0, 1)
    if experts * flat.shape[2] < SMALL:
        return (gate.unsqueeze(2) * flat).sum(1).reshape(stacked.shape[1:])
    return torch.bmm(gate.unsqueeze(1), flat).reshape(stacked.shape[1:])
