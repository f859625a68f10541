"""Sums over the processes of `torch.distributed`: the engine owns them, the network is not wrapped in DDP.

Every process calls the engine once a step, with the same parameters and its own part of the batch. Losses are already divided by
the label counts of all processes (`sum_over_processes` gives them), so that processes add and nobody divides. What is agreed on
(names, which parameter is shared, in which form) is exchanged first, so that all processes make the same calls in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from cotrain.balance.deposit import deposit
from cotrain.balance.passes import explained, quiet_hooks
from cotrain.core.errors import ConfigError


def over_processes() -> bool:
    """Whether there is more than one process to sum over."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_processes(vector: Tensor) -> Tensor:
    """The vector, summed over all processes; itself where there is only one. For label counts: one number a task, in one order.

    >>> sum_over_processes(torch.tensor([3.0, 1.0]))
    tensor([3., 1.])
    """
    if not over_processes():
        return vector
    total = vector.clone()
    dist.all_reduce(total)
    return total


@final
class Processes:
    """The calls between processes of one engine; parameters are known by their place in `network.parameters()`."""

    def __init__(self, network: nn.Module | None, tasks: Sequence[str] | None) -> None:
        if network is None:
            raise ConfigError(
                "Engine over several processes expects network=, the whole module, whose parameters' order is what processes "
                "agree on; got none; pass network=model"
            )
        self.parameters: list[Tensor] = [tensor for tensor in network.parameters() if tensor.requires_grad]
        self.place = {id(tensor): place for place, tensor in enumerate(self.parameters)}
        self.device = self.parameters[0].device
        self.size, self.rank = dist.get_world_size(), dist.get_rank()
        self.tasks = list(tasks or ())
        modules = [name.rpartition(".")[0] for name, tensor in network.named_parameters() if tensor.requires_grad]
        order = list(dict.fromkeys(modules))
        self.layer = [order.index(name) for name in modules]
        """For each parameter the number of its module: a layer, the same on every process."""

    def place_of(self, tensor: Tensor) -> int:
        """The parameter's place. Raises ConfigError if the network does not hold it."""
        place = self.place.get(id(tensor))
        if place is None:
            raise ConfigError(
                "Engine(network=...) expects the module that holds every parameter; a gradient came for one of shape "
                f"{list(tensor.shape)} that it does not hold; pass the outermost module"
            )
        return place

    def agree_on_losses(self, names: Sequence[str], losses: Tensor) -> tuple[tuple[str, ...], Tensor]:
        """Names of the tasks present on any process, in one order for all, and their losses summed.

        The order is that of `tasks=`, then of first appearance by rank.
        """
        while True:
            known = {name: place for place, name in enumerate(self.tasks)}
            message = torch.zeros(2, len(known) + 1, dtype=torch.float64, device=self.device)
            for name, loss in zip(names, losses, strict=True):
                place = known.get(name, len(known))
                message[0, place] += 1
                message[1, place] += loss
            dist.all_reduce(message)
            if float(message[0, -1]) == 0:
                break
            self._learn([name for name in names if name not in known])
        present = (message[0, :-1] > 0).tolist()
        chosen = tuple(name for name, here in zip(self.tasks, present, strict=True) if here)
        return chosen, message[1, :-1][message[0, :-1] > 0].to(losses.device)

    def _learn(self, names: list[str]) -> None:
        gathered: list[list[str]] = [[] for _ in range(self.size)]
        dist.all_gather_object(gathered, names)
        for found in gathered:
            self.tasks += [name for name in found if name not in self.tasks]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes, in a tensor of its own."""
        total = tensor.clone().contiguous()
        dist.all_reduce(total)
        return total

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether it is set on any process."""
        message = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(message, op=dist.ReduceOp.MAX)
        return [value > 0 for value in message.tolist()]

    def first(self, tensor: Tensor) -> Tensor:
        """The tensor of the first process, on all: for answers that involve chance."""
        answer = tensor.clone().contiguous()
        dist.broadcast(answer, src=0)
        return answer

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, of equal shape, by rank."""
        held = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(held, tensor.contiguous())
        return held

    def finish(
        self,
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
        edges: Sequence[GradientEdge] = (),
        arrivals: Sequence[Tensor] = (),
        penalty: Tensor | None = None,
    ) -> None:
        """`deposit` of `balance.deposit`, over processes: what is sent backward from edges and the penalty is summed too."""
        roots, sent = list(edges), list(arrivals)
        if penalty is not None and penalty.requires_grad:
            roots.append(torch.autograd.graph.get_gradient_edge(penalty))
            sent.append(torch.ones_like(penalty))
        every, found = list(parameters), list(gradients)
        if roots:
            leaves = [torch.autograd.graph.get_gradient_edge(tensor).node for tensor in self.parameters]
            with quiet_hooks(leaves), explained():
                below = torch.autograd.grad(roots, self.parameters, sent, allow_unused=True)
            for tensor, gradient in zip(self.parameters, below, strict=True):
                if gradient is not None:
                    every.append(tensor)
                    found.append(gradient)
        self.deposit(every, found)

    def deposit(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Add to `.grad` on every process the sum of the gradients that processes hold; one message a dtype."""
        held: dict[int, Tensor] = {}
        for tensor, gradient in zip(parameters, gradients, strict=True):
            place = self.place_of(tensor)
            dense = gradient.to_dense() if gradient.is_sparse else gradient
            held[place] = held[place] + dense if place in held else dense
        present = self.any([place in held for place in range(len(self.parameters))])
        chosen = [place for place, here in enumerate(present) if here]
        summed: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(self.parameters[place].dtype for place in chosen):
            mine = [place for place in chosen if self.parameters[place].dtype == dtype]
            flat = torch.cat([held.get(p, torch.zeros_like(self.parameters[p])).reshape(-1) for p in mine])
            dist.all_reduce(flat)
            sizes = [self.parameters[place].numel() for place in mine]
            summed.update(zip(mine, torch.split(flat, sizes), strict=True))
        deposit(
            [self.parameters[place] for place in chosen],
            [summed[place].view(self.parameters[place].shape).clone() for place in chosen],
        )
