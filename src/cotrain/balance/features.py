"""Balancing at the features: the tensors where the part that two or more losses reach ends.

Task k's gradient there, z_k = d l_k / d h, stands in for its gradient on the parameters. For one feature tensor the balanced
gradient is the trunk's J^T sum_k w_k z_k: one backward pass through the trunk whatever the number of tasks. With a bound s on the
trunk's Jacobian, |sum_k w_k g_k| <= s |sum_k w_k z_k|: the Gramian is an upper bound's, cheap, and a choice (MGDA-UB: Sener and
Koltun, "Multi-Task Learning as Multi-Objective Optimization", NeurIPS 2018, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.deposit import deposit
from cotrain.balance.passes import Graph
from cotrain.balance.protocol import Combiner
from cotrain.balance.scope import Scope
from cotrain.balance.units import at_least_float32


class Features:
    """The per-task gradients of one graph at its features; everything below is passed once, with their weighted sum."""

    fallbacks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, graph: Graph, scope: Scope) -> None:
        scope.refuse_narrowing(graph.found)
        self.tasks = graph.tasks
        self._graph = graph
        owned = graph.owned
        self._edges = [GradientEdge(node, number) for node, number in owned.arrivals]
        self._edges += [GradientEdge(leaf, 0) for leaf in owned.leaf_rows]
        self._stacks: list[Tensor] = []
        self._boxes: list[dict[int, Tensor]] = [*owned.arrivals.values(), *owned.leaf_rows.values()]

    def gramians(self) -> tuple[Tensor, Tensor | None]:
        """[T, T] float64: <z_j, z_k> over all features; there is none by layer."""
        total = torch.zeros(self.tasks, self.tasks, dtype=torch.float64, device=self._graph.device)
        self._stacks = [self._rows(box) for box in self._boxes]
        for stack in self._stacks:
            rows = at_least_float32(stack)
            total += (rows @ rows.t()).double()
        return total, None

    def leave_out(self, bad: Sequence[int]) -> None:
        """Forget the gradients of these tasks."""
        self._stacks = []
        for box in self._boxes:
            for task in bad:
                box.pop(task, None)

    def sums(self, weights: Tensor) -> list[tuple[GradientEdge, Tensor]]:
        """sum_k w_k z_k at each edge, weights [T]."""
        if self._stacks:
            somes = [next(iter(box.values())) for box in self._boxes]
            rows = [
                (weights.to(stack) @ stack).view(some.shape) for stack, some in zip(self._stacks, somes, strict=True)
            ]
            return list(zip(self._edges, rows, strict=True))
        factors = weights.tolist()
        sums: list[tuple[GradientEdge, Tensor]] = []
        for edge, box in zip(self._edges, self._boxes, strict=True):
            total: Tensor | None = None
            for task, gradient in box.items():
                total = gradient * factors[task] if total is None else total.add_(gradient, alpha=factors[task])
            if total is not None:
                sums.append((edge, total))
        return sums

    def combined(self, combiner: Combiner, generator: torch.Generator | None) -> list[tuple[GradientEdge, Tensor]]:
        """What the method makes of the features' gradients, side by side [T, N], at each edge."""
        held = [(edge, box) for edge, box in zip(self._edges, self._boxes, strict=True) if box]
        if not held:
            return []
        with torch.no_grad():
            row = combiner.combine(torch.cat([self._rows(box) for _, box in held], dim=1), generator)
        somes = [next(iter(box.values())) for _, box in held]
        pieces = torch.split(row, [some.numel() for some in somes])
        cut = [piece.reshape(some.shape).to(some.dtype) for piece, some in zip(pieces, somes, strict=True)]
        return [(edge, piece) for (edge, _), piece in zip(held, cut, strict=True)]

    def apply(self, weights: Tensor, heads: Tensor, penalty: Tensor | None) -> None:
        """Add to `.grad`: the trunk's gradient for sum_k w_k z_k (weights [T]), h_k g_k elsewhere (heads [T])."""
        self._send(self.sums(weights), heads, penalty)

    def combine(
        self, combiner: Combiner, heads: Tensor, penalty: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Add to `.grad` the trunk's gradient for what the method makes of the features' gradients."""
        self._send(self.combined(combiner, generator), heads, penalty)

    def _send(self, sums: list[tuple[GradientEdge, Tensor]], heads: Tensor, penalty: Tensor | None) -> None:
        parameters, gradients = self._graph.owned_gradients(heads)
        deposit(parameters, gradients, [edge for edge, _ in sums], [total for _, total in sums], penalty)

    def _rows(self, box: dict[int, Tensor]) -> Tensor:
        """[T, N] at one edge, zeros where a task sends nothing."""
        if not box:
            return torch.zeros(self.tasks, 1, device=self._graph.device)
        some = next(iter(box.values()))
        zero = torch.zeros_like(some) if len(box) < self.tasks else some
        return torch.stack([box.get(task, zero) for task in range(self.tasks)]).reshape(self.tasks, -1)
