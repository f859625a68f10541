"""Extraction networks: experts of each task beside shared ones, mixed by gates (the building block of CGC and PLE).

Shapes: B rows, T tasks, m own experts a task, s shared experts. An expert is a copy of a chain of stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import nn

from cotrain.core.naming import slot, unslot
from cotrain.core.signals import Signal
from cotrain.core.stacked import spread, stack
from cotrain.sharing.copies import run
from cotrain.sharing.gates import Gate, mixed


def stacked_chain(stages: Sequence[nn.Module] | nn.ModuleList, copies: int) -> nn.ModuleList:
    """`copies` freshly drawn copies of a chain of stages, each stage one stacked product."""
    return nn.ModuleList(stack(stage, copies) for stage in stages)


class LastExtraction(nn.Module):
    """h_k = sum_e softmax(W_k pool(x_k))_e [E_k(x_k) ; E_s(x_s)]_e: the only, or the last, extraction network.

    A task's own experts and gate are reached by its loss alone, so they stay apart: one stacked product a task, one for the shared ones.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module] | nn.ModuleList,
        width: int,
        tasks: Sequence[str],
        own: int,
        shared: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.own, self.shared = own, shared
        self.shared_experts = stacked_chain(stages, shared)
        self.own_experts = nn.ModuleDict({slot(task): stacked_chain(stages, own) for task in tasks})
        self.gates = nn.ModuleDict({slot(task): Gate(width, own + shared, dropout) for task in tasks})

    def forward(self, inputs: Mapping[str, Signal], shared: Signal) -> dict[str, Signal]:
        """{task: what it extracts} from each task's signal and the shared one."""
        common = run(self.shared_experts, spread(shared, self.shared, self.shared_experts[0]))[-1]
        found = {}
        for task, signal in inputs.items():
            chain = cast(nn.ModuleList, self.own_experts[slot(task)])
            own = run(chain, spread(signal, self.own, chain[0]))[-1]
            found[task] = common.of(mixed(self.gates[slot(task)](signal), [own.values, common.values]))
        return found

    def named_gates(self) -> dict[str, Gate]:
        """{task: its gate}."""
        return {unslot(key): cast(Gate, gate) for key, gate in self.gates.items()}


class InnerExtraction(nn.Module):
    """An extraction network with another one above it: it answers the shared signal too, mixed from the experts of all tasks.

    h_k = sum_e softmax(W_k pool(x_k))_e [E_k(x_k) ; E_s(x_s)]_e
    h_s = sum_e softmax(W_s pool(x_s))_e [E_1(x_1) ; ... ; E_T(x_T) ; E_s(x_s)]_e

    Since h_s feeds every task above, all experts here are reached by all losses: they are one stacked product.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module] | nn.ModuleList,
        width: int,
        tasks: Sequence[str],
        own: int,
        shared: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.own, self.shared = own, shared
        self.experts = stacked_chain(stages, len(tasks) * own + shared)
        self.gates = nn.ModuleDict({slot(task): Gate(width, own + shared, dropout) for task in tasks})
        self.shared_gate = Gate(width, len(tasks) * own + shared, dropout)

    def forward(self, inputs: Mapping[str, Signal], shared: Signal) -> tuple[dict[str, Signal], Signal]:
        """({task: what it extracts}, what the shared part extracts) from each task's signal and the shared one."""
        sizes = [self.own] * len(inputs) + [self.shared]
        same = all(signal is shared for signal in inputs.values())
        if same:
            read = spread(shared, sum(sizes), self.experts[0])
        else:
            values = [one.values for one in (*inputs.values(), shared)]
            read = shared.of(torch.cat([one.expand(size, *one.shape) for one, size in zip(values, sizes, strict=True)]))
        experts = run(self.experts, read)[-1]
        if (
            same
        ):  # one product gave the experts' outputs side by side: they are cut, and their gradients joined, that way
            *own, common = (part.transpose(0, 1) for part in torch.split(experts.values.transpose(0, 1), sizes, 1))
        else:
            *own, common = torch.split(experts.values, sizes)
        found = {
            task: experts.of(mixed(self.gates[slot(task)](signal), [part, common]))
            for (task, signal), part in zip(inputs.items(), own, strict=True)
        }
        return found, experts.of(mixed(self.shared_gate(shared), experts.values))

    def named_gates(self) -> dict[str, Gate]:
        """{task: its gate}, and the shared one as "shared experts"."""
        own = {unslot(key): cast(Gate, gate) for key, gate in self.gates.items()}
        return {**own, "shared experts": self.shared_gate}
