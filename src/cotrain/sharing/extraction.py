"""Extraction networks: experts of each task beside shared ones, mixed by gates (the building block of CGC and PLE).

Shapes: B rows, T tasks, m own experts a task, s shared experts. An expert is a copy of a chain of stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from cotrain.core.naming import slot, unslot
from cotrain.core.signals import Signal
from cotrain.core.stacked import spread, stack
from cotrain.core.together import goes_back_once
from cotrain.sharing.copies import run
from cotrain.sharing.gates import Gate, mixed, mixed_together, placed, weights_of

LARGE = 2**20
"""Numbers beyond which to copy all experts' outputs side by side, out of a processor's cache, costs more than mixing together saves."""


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
        own = {}
        for task, signal in inputs.items():
            chain = cast(nn.ModuleList, self.own_experts[slot(task)])
            own[task] = run(chain, spread(signal, self.own, chain[0]))[-1].values
        gates = weights_of(self.named_gates(), inputs)
        groups = [*own.values(), common.values]
        if goes_back_once() and sum(group.numel() for group in groups) <= LARGE:
            whole = torch.cat([group.transpose(0, 1) for group in groups], 1).transpose(0, 1)
            found = mixed_together(placed(list(gates.values()), self.own), whole)
        else:
            found = tuple(mixed(gate, [own[task], common.values]) for task, gate in gates.items())
        return {task: common.of(values) for task, values in zip(gates, found, strict=True)}

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
        gates = weights_of(self.own_gates(), inputs)
        above = self.shared_gate(shared)
        if goes_back_once():
            weights = torch.cat([placed(list(gates.values()), self.own), above.unsqueeze(1)], 1)
            *found, extracted = mixed_together(weights, experts.values)
        else:
            *own, common = self._parts(experts.values, sizes, same)
            found = [mixed(gate, [part, common]) for gate, part in zip(gates.values(), own, strict=True)]
            extracted = mixed(above, [experts.values])
        answer = {task: experts.of(values) for task, values in zip(gates, found, strict=True)}
        return answer, experts.of(extracted)

    @staticmethod
    def _parts(experts: Tensor, sizes: list[int], same: bool) -> list[Tensor]:
        """The experts' outputs task by task, the shared ones last."""
        if not same:
            return list(torch.split(experts, sizes))
        # one product gave them side by side: they are cut, and their gradients joined, that way
        return [part.transpose(0, 1) for part in torch.split(experts.transpose(0, 1), sizes, 1)]

    def own_gates(self) -> dict[str, Gate]:
        """{task: its gate}."""
        return {unslot(key): cast(Gate, gate) for key, gate in self.gates.items()}

    def named_gates(self) -> dict[str, Gate]:
        """{task: its gate}, and the shared one as "shared experts"."""
        return {**self.own_gates(), "shared experts": self.shared_gate}
