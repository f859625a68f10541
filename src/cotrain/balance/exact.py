"""One exact step: gradients through the common part, their inner products, the balanced gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import GraphExecGroup

from cotrain.balance.deposit import deposit
from cotrain.balance.passes import Graph, common_passes
from cotrain.balance.plan import Plan, plan_of
from cotrain.balance.protocol import Combiner
from cotrain.balance.scope import Scope
from cotrain.balance.units import Rows, Unit, stacked
from cotrain.balance.walk import Walk, leaf_tensor, refuse_what_cannot_be_exact

BATCHED: dict[str, str] = {
    "AddmmBackward0": "_raw_saved_mat1",
    "MmBackward0": "_raw_saved_self",
    "BmmBackward0": "_raw_saved_self",
    "BaddbmmBackward0": "_raw_saved_batch1",
    "ReluBackward0": "_raw_saved_result",
    "LeakyReluBackward0": "_raw_saved_self",
    "GeluBackward0": "_raw_saved_self",
    "SiluBackward0": "_raw_saved_self",
    "TanhBackward0": "_raw_saved_result",
    "SigmoidBackward0": "_raw_saved_result",
    "MulBackward0": "_raw_saved_self",
    "DivBackward0": "_raw_saved_self",
    **dict.fromkeys(("AddBackward0", "SubBackward0", "CatBackward0", "StackBackward0", "SumBackward1"), ""),
    **dict.fromkeys(("TBackward0", "TransposeBackward0", "PermuteBackward0", "ViewBackward0", "ExpandBackward0"), ""),
    **dict.fromkeys(("UnsafeViewBackward0", "ReshapeAliasBackward0", "UnsqueezeBackward0", "SqueezeBackward1"), ""),
    **dict.fromkeys(("CloneBackward0", "AccumulateGrad"), ""),
}
"""Operations that several passes cross together faster than one by one (measured by benchmarks/balance_step.py on a CPU), with a
tensor that each saved: one with a hook means that all around it were packed away."""
BATCHED_ROWS = 512
"""Largest number of rows at which passes of such a network travel together."""


class Exact:
    """The per-task gradients of one graph, in the cheapest form that answers what is asked of them.

    `ghosts=False` keeps every gradient explicit, for methods that want to see them; `folds=False` keeps biases by themselves.
    """

    def __init__(
        self,
        graph: Graph,
        scope: Scope,
        *,
        chunk: int | None,
        keep_graph: bool,
        ghosts: bool = True,
        folds: bool = True,
        note: str = "",
    ) -> None:
        refuse_what_cannot_be_exact(graph.found)
        self.tasks = graph.tasks
        self._graph = graph
        self._scope = scope
        self.plan: Plan = plan_of(graph.found, self.tasks, scope, ghosts=ghosts, folds=folds)
        with GraphExecGroup():
            for unit in self.plan.units:
                unit.read()
        batch = batch_size(graph.found, self.tasks, chunk)
        owned = graph.owned
        rows = common_passes(self.plan.edges, owned.arrivals, self.tasks, keep_graph, batch)
        for unit in self.plan.units if owned.leaf_rows else ():
            sent = owned.leaf_rows.get(unit.leaf)
            if sent is not None:
                rows[unit.edges[0]] = with_leaf_rows(rows[unit.edges[0]], sent, self.tasks)
        self.plan.units = [unit for unit in self.plan.units if any(rows[edge] is not None for edge in unit.edges)]
        self.rows: list[Rows] = [self._zeros(edge) if row is None else row for edge, row in enumerate(rows)]
        self.notes: tuple[str, ...] = (note,) if note else ()
        self.fallbacks = tuple(f"{scope.name(tensor)} ({operation})" for tensor, operation in self.plan.fallbacks)

    def _zeros(self, edge: int) -> Rows:
        """Rows for an edge at which nothing arrives, though a parameter used there gets something elsewhere."""
        node = self.plan.edges[edge].node
        metadata = node._input_metadata[0]
        return torch.zeros((self.tasks, *metadata.shape), dtype=metadata.dtype, device=self._graph.device)

    def gramians(self) -> tuple[Tensor, Tensor | None]:
        """[T, T] and, by layer, [L, T, T], float64: inner products of the tasks' gradients on the shared parameters."""
        layers = self.layer_gramians()
        return layers.sum(0), layers

    def apply(self, weights: Tensor, heads: Tensor, penalty: Tensor | None) -> None:
        """Add to `.grad`: sum_k w_k g_k on shared parameters (weights [T] or [L, T]), h_k g_k elsewhere (heads [T])."""
        parameters, gradients = self.gradients(weights, heads)
        self._deposit(parameters, gradients, heads, penalty)

    def combine(
        self, combiner: Combiner, heads: Tensor, penalty: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Add to `.grad` what the method makes of the gradients: of all of them at once, so that any method is served."""
        shared = [unit for unit in self.plan.units if unit.shared]
        parameters, gradients = self._gradients(
            [unit for unit in self.plan.units if not unit.shared], [], heads.tolist()
        )
        if shared:
            with torch.no_grad():
                flat = [stacked(self.rows[unit.edges[0]]).reshape(self.tasks, -1) for unit in shared]
                row = combiner.combine(torch.cat(flat, dim=1), generator)
            tensors = [leaf_tensor(unit.leaf) for unit in shared]
            pieces = torch.split(row, [tensor.numel() for tensor in tensors])
            parameters += tensors
            gradients += [piece.view_as(tensor).to(tensor.dtype) for piece, tensor in zip(pieces, tensors, strict=True)]
        self._deposit(parameters, gradients, heads, penalty)

    def _deposit(
        self, parameters: list[Tensor], gradients: list[Tensor], heads: Tensor, penalty: Tensor | None
    ) -> None:
        owned_parameters, owned_gradients = self._graph.owned_gradients(heads)
        parameters += owned_parameters
        gradients += owned_gradients
        deposit(parameters, gradients, penalty=penalty)

    def layer_gramians(self) -> Tensor:
        """[L, T, T] float64: inner products of the tasks' gradients for each layer of shared parameters."""
        with torch.no_grad():
            shared = [unit for unit in self.plan.units if unit.shared]
            parts = [unit.gramian(self.rows, self.tasks).to(self._graph.device) for unit in shared]
            layers = [unit.layer for unit in shared]
            if layers == list(range(self.plan.layers)) and len({part.dtype for part in parts}) == 1:
                return torch.stack(parts).double()
            answer = torch.zeros(
                self.plan.layers, self.tasks, self.tasks, dtype=torch.float64, device=self._graph.device
            )
            for layer, part in zip(layers, parts, strict=True):
                answer[layer] += part
            return answer

    def leave_out(self, bad: Sequence[int]) -> None:
        """Forget the gradients of these tasks."""
        for place, rows in enumerate(self.rows):
            if isinstance(rows, Tensor):
                kept = torch.ones(rows.shape[0], dtype=torch.bool, device=rows.device)
                kept[list(bad)] = False
                self.rows[place] = torch.where(kept.view(-1, *[1] * (rows.dim() - 1)), rows, torch.zeros_like(rows))
            else:
                self.rows[place] = [
                    torch.zeros_like(row) if index in bad and row is not None else row for index, row in enumerate(rows)
                ]

    def gradients(self, weights: Tensor, others: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the common part and their gradients: sum_k w_k g_k.

        weights: [T] or [L, T] for shared parameters; others: [T] for those common ones that are not balanced.
        """
        by_layer = weights.tolist() if weights.dim() == 2 else [weights.tolist()] * self.plan.layers
        return self._gradients(self.plan.units, by_layer, others.tolist())

    def balanced(self, parameters: Sequence[Tensor]) -> list[bool]:
        """Which of these common parameters the balance is about."""
        return [self._scope.holds(tensor) for tensor in parameters]

    def others(self, factors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Common parameters that are not balanced, and their gradients sum_k f_k g_k, factors [T]."""
        return self._gradients([unit for unit in self.plan.units if not unit.shared], [], factors.tolist())

    def _gradients(
        self, units: Sequence[Unit], by_layer: list[list[float]], others: list[float]
    ) -> tuple[list[Tensor], list[Tensor]]:
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        mixed: dict[tuple[int, int], Tensor] = {}
        several = len({id(factors) for factors in by_layer}) > 1
        with torch.no_grad():
            for unit in units:
                kind = (unit.layer if several else 0) if unit.shared else -1
                factors = by_layer[unit.layer] if unit.shared else others

                def mix(edge: int, kind: int = kind, factors: list[float] = factors) -> Tensor:
                    if (edge, kind) not in mixed:
                        mixed[edge, kind] = weighted_sum(self.rows[edge], factors)
                    return mixed[edge, kind]

                for leaf, gradient in unit.gradients(mix):
                    tensor = leaf_tensor(leaf)
                    parameters.append(tensor)
                    gradients.append(gradient if gradient.dtype == tensor.dtype else gradient.to(tensor.dtype))
        return parameters, gradients


def weighted_sum(rows: Rows, factors: Sequence[float]) -> Tensor:
    """sum_k f_k row_k. Rows may alias each other or be aliased elsewhere: nothing is written in place but the result."""
    if isinstance(rows, Tensor):
        weights = torch.tensor(factors, dtype=rows.dtype, device=rows.device)
        return torch.mv(rows.reshape(len(factors), -1).t(), weights).reshape(rows.shape[1:])
    total: Tensor | None = None
    for factor, row in zip(factors, rows, strict=True):
        if row is not None:
            total = row * factor if total is None else total.add_(row, alpha=factor)
    return stacked(rows)[0] if total is None else total


def with_leaf_rows(rows: Rows | None, sent: dict[int, Tensor], tasks: int) -> Rows:
    """The rows with the gradients that reached the parameter directly from a task's own part."""
    held: list[Tensor | None] = [None] * tasks if rows is None else list(rows)
    for task, gradient in sent.items():
        row = held[task]
        held[task] = gradient if row is None else row + gradient
    return held


def batch_size(found: Walk, tasks: int, chunk: int | None) -> int:
    """How many passes travel at once: 1 is a loop. Saved tensors with hooks (checkpointing, offloading) are never unpacked batched."""
    if chunk == 1 or tasks == 1:
        return 1
    for node in found.common:
        name = type(node).__name__
        saved = BATCHED.get(name)
        if saved is None or (saved and getattr(node, saved).unpack_hook is not None):
            return 1
        if name in ("AddmmBackward0", "MmBackward0") and node._input_metadata[0].shape[0] > BATCHED_ROWS:
            return 1
    return tasks if chunk is None else min(chunk, tasks)
