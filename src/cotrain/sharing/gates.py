"""Gates over experts: how much of each expert a row is given, and how evenly experts are used.

Shapes: B rows, E experts, D width. A gate [B, E] is not negative and sums to 1 over the experts.
Every task mixes for itself, from experts that all of them read: the tasks' gradients stay apart down to the experts' outputs, which are
the features where balancing at the features takes place. Where the losses go back in one pass (`cotrain.core.together`) one product
mixes for all tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.readers import is_read
from cotrain.core.signals import Signal
from cotrain.core.together import goes_back_once

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
        """The gate of the last forward whose answers its task read, [B, E], without gradient."""

    def forward(self, signal: Signal) -> Tensor:
        gate = self.shares(F.linear(signal.pooled(), self.weight))
        self.last = gate.detach()
        return gate

    @property
    def drops(self) -> bool:
        """Whether experts are left out at random now."""
        return self.training and self.dropout > 0

    def shares(self, logits: Tensor) -> Tensor:
        """The gate [B, E] from W pool(z)."""
        if self.drops:
            dropped = torch.rand_like(logits) < self.dropout
            logits = logits.masked_fill(dropped & ~dropped.all(-1, keepdim=True), float("-inf"))
        return torch.softmax(logits, -1)


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


def weights_of(gates: Mapping[str, Gate], signals: Mapping[str, Signal]) -> dict[str, Tensor]:
    """{task: its gate's answer to its signal, [B, E]}; in one product where all read one signal and the losses go back in one pass."""
    signal, *others = signals.values()
    if not goes_back_once() or any(other is not signal for other in others):
        found = {task: gate.shares(F.linear(signals[task].pooled(), gate.weight)) for task, gate in gates.items()}
    else:
        stacked = F.linear(signal.pooled(), torch.cat([gate.weight for gate in gates.values()]))
        logits = stacked.reshape(len(stacked), len(gates), -1)
        if any(gate.drops for gate in gates.values()):
            shares = [gate.shares(one) for gate, one in zip(gates.values(), logits.unbind(1), strict=True)]
        else:
            shares = list(torch.softmax(logits, -1).unbind(1))
        found = dict(zip(gates, shares, strict=True))
    for task, gate in gates.items():
        if is_read(task):
            gate.last = found[task].detach()
    return found


def mixtures(weights: Mapping[str, Tensor], experts: Tensor) -> dict[str, Tensor]:
    """{task: sum_e w_k[b, e] f_e[b], [B, ...]} of experts [E, B, ...] that all tasks read, with weights [B, E] a task.

    >>> weights = {"age": torch.tensor([[0.25, 0.75]]), "pay": torch.tensor([[1.0, 0.0]])}
    >>> {task: values.tolist() for task, values in mixtures(weights, torch.tensor([[[4.0]], [[8.0]]])).items()}
    {'age': [[7.0]], 'pay': [[4.0]]}
    """
    if not goes_back_once():
        return {task: mixed(weight, [experts]) for task, weight in weights.items()}
    return dict(zip(weights, mixed_together(torch.stack(list(weights.values()), 1), experts), strict=True))


def placed(weights: Sequence[Tensor], own: int) -> Tensor:
    """[B, T, T * own + S]: weights [B, own + S] of T tasks over all experts, those of task 1 first, the S shared ones last; 0 at others' own.

    >>> placed([torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])], 1).tolist()
    [[[0.25, 0.0, 0.75], [0.0, 0.5, 0.5]]]
    """
    stacked = torch.stack(list(weights), 1)
    rows, tasks = stacked.shape[:2]
    apart = torch.diag_embed(stacked[:, :, :own].transpose(1, 2))  # [B, own, T, T]
    return torch.cat([apart.permute(0, 2, 3, 1).reshape(rows, tasks, tasks * own), stacked[:, :, own:]], 2)


def mixed_together(weights: Tensor, experts: Tensor) -> tuple[Tensor, ...]:
    """R mixtures [B, ...] in one product: weights [B, R, E], experts' outputs [E, B, ...] (an ensemble's members alike, [E, M * B, ...])."""
    rows, weights = experts.shape[1], weights.to(experts.dtype)
    if rows != len(weights):
        weights = weights.repeat(rows // len(weights), 1, 1)
    side = torch.bmm(weights, experts.flatten(2).transpose(0, 1))
    return tuple(one.reshape(experts.shape[1:]) for one in side.unbind(1))


def mixed(gate: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """sum_e gate[b, e] f_e[b], [B, ...]: gate [B, E], experts' outputs [E, B, ...], in parts whose experts follow one another.

    Where experts made an ensemble of every row, [E, M * B, ...], its members are mixed alike.
    """
    gate = gate.to(parts[0].dtype)
    numbers = [part[:, 0].numel() for part in parts]
    if len(parts) > 1 and max(numbers) < SMALL <= sum(numbers):  # only together are they large enough for a product
        return _mixed(gate, torch.cat([part.transpose(0, 1) for part in parts], 1).transpose(0, 1))
    weights = torch.split(gate, [len(part) for part in parts], 1)
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
