"""The passes through the graph: once through everything owned by one task, then the common part once a task.

`owned_pass` runs all heads in one backward pass and keeps each task's gradient apart where it crosses into the common part.
`common_passes` sends these gradients through the common part, one task after another or several at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.units import Rows
from cotrain.balance.walk import Crossing, Node, Walk, leaf_tensor, walk
from cotrain.core.errors import UnsupportedError


class Owned:
    """What the pass through the owned part gave.

    arrivals: for each edge into the common part, the gradient that each root sends there (roots without one are absent).
    leaf_rows: the same where the edge ends in a parameter at once, so that nothing is left to pass.
    leaves: for each owned parameter's leaf, its gradient (None where the loss does not depend on it after all).
    """

    __slots__ = ("arrivals", "leaf_rows", "leaves")

    def __init__(self) -> None:
        self.arrivals: dict[tuple[Node, int], dict[int, Tensor]] = {}
        self.leaf_rows: dict[Node, dict[int, Tensor]] = {}
        self.leaves: dict[Node, Tensor] = {}

    def send(self, target: Node, number: int, owner: int, gradient: Tensor) -> None:
        """Add a gradient that arrived; never in place, for it may alias another."""
        box = (
            self.leaf_rows.setdefault(target, {}) if is_leaf(target) else self.arrivals.setdefault((target, number), {})
        )
        box[owner] = box[owner] + gradient if owner in box else gradient


class Graph:
    """The losses of one step: what a walk found and what the pass through the owned part gave."""

    __slots__ = ("device", "found", "owned", "tasks")

    def __init__(self, losses: Sequence[Tensor], keep_graph: bool) -> None:
        nodes = [root_of(loss) for loss in losses]
        self.tasks = len(losses)
        self.device = losses[0].device
        self.found = walk(nodes)
        self.owned = owned_pass(self.found, losses, nodes, keep_graph)

    def owned_gradients(self, factors: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters owned by one task and their gradients times the task's factor [T]; none where the factor is zero."""
        by_task, owner = factors.tolist(), self.found.owner
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        leaves, self.owned.leaves = self.owned.leaves, {}
        for leaf, gradient in leaves.items():
            factor = by_task[owner[leaf]]
            if factor != 0.0:
                parameters.append(leaf_tensor(leaf))
                gradients.append(gradient if factor == 1.0 else gradient * factor)
        return parameters, gradients


def is_leaf(node: Node) -> bool:
    """Whether the node is a parameter's `AccumulateGrad`."""
    return not node.next_functions


def root_of(loss: Tensor) -> Node | None:
    """The node a loss's gradient enters by, None where it depends on no parameter."""
    if loss.grad_fn is not None:
        return loss.grad_fn
    return torch.autograd.graph.get_gradient_edge(loss).node if loss.requires_grad else None


def owned_pass(found: Walk, losses: Sequence[Tensor], nodes: Sequence[Node | None], keep_graph: bool) -> Owned:
    """One backward pass from all losses (entering at `nodes`) through what each of them owns; nothing common is run."""
    answer = Owned()
    roots: list[Tensor] = []
    for index, (loss, node) in enumerate(zip(losses, nodes, strict=True)):
        if node is None:
            continue
        if found.owner[node] < 0:
            answer.send(node, loss.output_nr, index, torch.ones_like(loss))
        else:
            roots.append(loss)
    if not roots:
        return answer
    by_node: dict[Node, list[Crossing]] = {}
    targets: dict[tuple[Node, int], GradientEdge] = {}
    for crossing in found.crossings:
        by_node.setdefault(crossing.node, []).append(crossing)
        targets[crossing.target, crossing.number] = GradientEdge(crossing.target, crossing.number)
    inputs = [GradientEdge(leaf, 0) for leaf in found.owned_leaves] + list(targets.values())
    if not inputs:
        return answer
    handles = [node.register_hook(_catcher(answer, crossings)) for node, crossings in by_node.items()]
    if found.nested:
        handles += [node.register_prehook(_nothing) for node in {target for target, _ in targets} if not is_leaf(node)]
    try:
        quiet = [*found.owned_leaves, *(target for target, _ in targets if is_leaf(target))]
        with quiet_hooks(quiet), explained():
            gradients = torch.autograd.grad(roots, inputs, retain_graph=keep_graph or found.nested, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for leaf, gradient in zip(found.owned_leaves, gradients, strict=False):
        if gradient is not None:
            answer.leaves[leaf] = gradient
    return answer


def _catcher(answer: Owned, crossings: list[Crossing]) -> Any:
    def catch(gradients: tuple[Tensor | None, ...], _: tuple[Tensor | None, ...]) -> None:
        for _, argument, owner, target, number in crossings:
            gradient = gradients[argument]
            if gradient is not None:
                answer.send(target, number, owner, gradient)

    return catch


def _nothing(gradients: tuple[Tensor | None, ...]) -> tuple[None, ...]:
    """Where one edge into the common part lies below another, autograd runs what is between: send nothing through it."""
    return (None,) * len(gradients)


def common_passes(
    edges: Sequence[GradientEdge],
    arrivals: dict[tuple[Node, int], dict[int, Tensor]],
    passes: int,
    keep_graph: bool,
    batch: int,
) -> list[Rows | None]:
    """For each edge the gradients of all passes, or None where none arrives. `batch` passes travel at once (1: a loop)."""
    outputs = [GradientEdge(node, number) for node, number in arrivals]
    boxes = list(arrivals.values())
    quiet = [edge.node for edge in edges if is_leaf(edge.node)]
    if not outputs or not edges:
        return [None] * len(edges)
    with quiet_hooks(quiet), explained():
        if batch > 1:
            return _batched(edges, outputs, boxes, passes, keep_graph, batch)
        return _looped(edges, outputs, boxes, passes, keep_graph)


def _looped(
    edges: Sequence[GradientEdge],
    outputs: list[GradientEdge],
    boxes: list[dict[int, Tensor]],
    passes: int,
    keep_graph: bool,
) -> list[Rows | None]:
    columns: list[list[Tensor | None]] = [[] for _ in edges]
    active = [index for index in range(passes) if any(index in box for box in boxes)]
    for index in range(passes):
        if index not in active:
            for column in columns:
                column.append(None)
            continue
        chosen = [place for place, box in enumerate(boxes) if index in box]
        gradients = torch.autograd.grad(
            [outputs[place] for place in chosen],
            edges,
            [boxes[place][index] for place in chosen],
            retain_graph=keep_graph or index != active[-1],
            allow_unused=True,
        )
        for column, gradient in zip(columns, gradients, strict=True):
            column.append(gradient)
    return [column if any(row is not None for row in column) else None for column in columns]


def _batched(
    edges: Sequence[GradientEdge],
    outputs: list[GradientEdge],
    boxes: list[dict[int, Tensor]],
    passes: int,
    keep_graph: bool,
    batch: int,
) -> list[Rows | None]:
    held: list[Rows | None] = [None] * len(edges)
    for start in range(0, passes, batch):
        stop = min(start + batch, passes)
        sent = [_stack(box, start, stop) for box in boxes]
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            outputs, edges, sent, retain_graph=keep_graph or stop < passes, allow_unused=True, is_grads_batched=True
        )
        if batch >= passes:
            return list(gradients)
        for place, gradient in enumerate(gradients):
            if gradient is None:
                continue
            rows = held[place]
            if not isinstance(rows, Tensor):
                rows = held[place] = gradient.new_empty((passes, *gradient.shape[1:]))
            rows[start:stop] = gradient
        del gradients
    return held


def _stack(box: dict[int, Tensor], start: int, stop: int) -> Tensor:
    """[stop - start, ...]: the gradients of these passes at one edge, zeros where there is none."""
    some = next(iter(box.values()))
    zero = torch.zeros_like(some) if any(index not in box for index in range(start, stop)) else some
    return torch.stack([box.get(index, zero) for index in range(start, stop)])


@contextmanager
def quiet_hooks(leaves: Sequence[Node]) -> Iterator[None]:
    """Parameters' own hooks stay silent while gradients are only looked at; they run once, when the step is deposited."""
    hooks = [leaf_tensor(leaf)._backward_hooks for leaf in leaves]
    silenced = [(held, dict(held)) for held in hooks if held]
    for held, _ in silenced:
        held.clear()
    try:
        yield
    finally:
        for held, saved in silenced:
            held.update(saved)


@contextmanager
def explained() -> Iterator[None]:
    """Errors of torch that mean "this graph cannot be passed like that" become UnsupportedError with what to do."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "donated buffer" in text:
            raise UnsupportedError(
                "expected a graph that can be passed more than once; got one compiled by inductor, which frees its buffers after "
                "one backward; use Engine(mode='features'), compile with torch._functorch.config.donated_buffer = False, or do "
                "not compile the shared part"
            ) from error
        if "Checkpointing is not compatible" in text or "use_reentrant=True" in text:
            raise UnsupportedError(
                "expected non-reentrant checkpointing; got use_reentrant=True, which works under one plain backward only; "
                "pass use_reentrant=False"
            ) from error
        raise
