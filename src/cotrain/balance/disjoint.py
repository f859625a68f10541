"""Tasks whose labels lie on different rows of the batch travel together: about one joint step, whatever their number.

If no operation of the common part mixes rows, the gradient that task k sends down stays on k's rows all the way. Tasks with
disjoint rows can then share one pass: row n of what arrives at a layer belongs to the one task that owns row n, and for a product
with inputs x [N, i] and arrivals d [N, o]

    <g_j, g_k> = sum_{n of j} sum_{m of k} (x x^T)_nm (d d^T)_nm.

Whether rows stay apart is read from the graph, operation by operation (`apart`); anything not known to keep them apart ends in
the ordinary passes. N rows at a layer, a multiple of the batch's B; T tasks, in G groups of mutually disjoint ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.apart import Piece, mixing, pieces_of
from cotrain.balance.deposit import deposit
from cotrain.balance.passes import Graph, Owned, explained
from cotrain.balance.protocol import Combiner
from cotrain.balance.scope import Scope
from cotrain.balance.units import at_least_float32
from cotrain.balance.walk import leaf_tensor, refuse_what_cannot_be_exact
from cotrain.core.errors import DataError


class Layout(NamedTuple):
    """Which task owns which row: `groups` of tasks that travel together, `owners` [G, B] (task, or T where nobody does)."""

    groups: list[list[int]]
    owners: Tensor
    batch: int


def layout_of(masks: Tensor) -> Layout | None:
    """Groups of tasks with disjoint rows, from masks [T, B]; None if no two tasks are disjoint."""
    tasks, batch = masks.shape
    overlap = (masks.float() @ masks.float().t() > 0).tolist()
    groups: list[list[int]] = []
    for task in range(tasks):
        for group in groups:
            if not any(overlap[task][other] for other in group):
                group.append(task)
                break
        else:
            groups.append([task])
    if len(groups) == tasks:
        return None
    owners = torch.full((len(groups), batch), tasks, dtype=torch.long, device=masks.device)
    for place, group in enumerate(groups):
        for task in group:
            owners[place][masks[task]] = task
    return Layout(groups, owners, batch)


def masks_of(names: Sequence[str], rows: Mapping[str, Tensor], batch: int, device: torch.device) -> Tensor:
    """[T, B] from index tensors or boolean masks by task; a task without an entry has every row.

    Raises DataError for a mask of another length, or an index outside the batch.
    """
    masks = torch.ones(len(names), batch, dtype=torch.bool, device=device)
    for place, name in enumerate(names):
        given = rows.get(name)
        if given is None:
            continue
        if given.dtype == torch.bool:
            if given.shape != (batch,):
                raise DataError(
                    f"rows of task '{name}': expected a mask of the batch's {batch} rows; got shape {list(given.shape)}; "
                    "give one entry a row of the batch"
                )
            masks[place] = given
            continue
        if given.numel() and (int(given.min()) < 0 or int(given.max()) >= batch):
            raise DataError(
                f"rows of task '{name}': expected indices from 0 to {batch - 1}; got {int(given.min())} to {int(given.max())}; "
                "index rows of this batch"
            )
        masks[place] = False
        masks[place][given] = True
    return masks


def disjoint_or_reason(
    graph: Graph, scope: Scope, names: Sequence[str], rows: Mapping[str, Tensor], keep_graph: bool
) -> Disjoint | str:
    """The gradients with disjoint tasks travelling together, or why they cannot.

    rows: index tensors or masks over the batch's B rows, by task. B is a mask's length, or the smallest first dimension of a feature that
    holds all indices (stacked experts come first in theirs, and then nothing travels together).
    """
    boxes = list(graph.owned.arrivals.values())
    if graph.owned.leaf_rows or not boxes:
        return "a task's own part uses a shared parameter"
    sizes = [given.shape[0] for given in rows.values() if given.dtype == torch.bool]
    sizes += [sent.shape[0] if sent.dim() else 1 for box in boxes for sent in box.values()]
    most = max((int(given.max()) for given in rows.values() if given.dtype != torch.bool and given.numel()), default=-1)
    batch = sizes[0] if most < 0 else min((size for size in sizes if size > most), default=sizes[0])
    layout = layout_of(masks_of(names, rows, batch, graph.device))
    if layout is None:
        return "no two tasks have disjoint rows"
    if any(size % batch for size in sizes):
        return f"a feature's first dimension is not a multiple of the batch's {batch} rows"
    reason = mixing(graph.found, batch)
    return reason or Disjoint(graph, scope, layout, names=names, keep_graph=keep_graph)


class Disjoint:
    """The per-task gradients of one graph in which tasks with disjoint rows travelled together."""

    fallbacks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, graph: Graph, scope: Scope, layout: Layout, *, names: Sequence[str], keep_graph: bool) -> None:
        refuse_what_cannot_be_exact(graph.found)
        self.tasks = graph.tasks
        self._graph = graph
        self._scope = scope
        self._layout = layout
        self._pieces, edges = pieces_of(graph.found, scope)
        self._layers = 1 + max((piece.layer for piece in self._pieces), default=-1)
        self._check(graph.owned, names)
        for piece in self._pieces:
            piece.read()
        self._arrived = self._passes(edges, keep_graph)
        self._whole: dict[int, list[Tensor]] = {}

    def gramians(self) -> tuple[Tensor, Tensor | None]:
        """[T, T] and, by layer, [L, T, T], float64: inner products of the tasks' gradients on the shared parameters."""
        layers = torch.zeros(self._layers, self.tasks, self.tasks, dtype=torch.float64, device=self._graph.device)
        with torch.no_grad():
            for place, piece in enumerate(self._pieces):
                if piece.shared:
                    layers[piece.layer] += self._gramian(place, piece).to(layers)
        return layers.sum(0), layers

    def leave_out(self, bad: Sequence[int]) -> None:
        """Forget the gradients of these tasks."""
        for group, owner in enumerate(self._layout.owners):
            lost = torch.isin(owner, torch.tensor(list(bad), device=owner.device))
            for place, arrived in enumerate(self._arrived[group]):
                if arrived is not None:
                    mask = spread(lost, arrived.shape[0]).view(-1, *[1] * (arrived.dim() - 1))
                    self._arrived[group][place] = torch.where(mask, torch.zeros_like(arrived), arrived)
        for rows in self._whole.values():
            for task in bad:
                rows[task] = torch.zeros_like(rows[task])

    def gradients(self, weights: Tensor, others: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Parameters of the common part and their gradients: sum_k w_k g_k; weights and others as in `apply`."""
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        with torch.no_grad():
            for place, piece in enumerate(self._pieces):
                factors = others if not piece.shared else weights[piece.layer] if weights.dim() == 2 else weights
                gradient = self._gradient(place, piece, factors)
                if gradient is not None:
                    tensor = leaf_tensor(piece.leaf)
                    parameters.append(tensor)
                    gradients.append(gradient.to(tensor.dtype))
        return parameters, gradients

    def balanced(self, parameters: Sequence[Tensor]) -> list[bool]:
        """Which of these common parameters the balance is about."""
        return [self._scope.holds(tensor) for tensor in parameters]

    def apply(self, weights: Tensor, heads: Tensor, penalty: Tensor | None) -> None:
        """Add to `.grad`: sum_k w_k g_k on shared parameters (weights [T] or [L, T]), h_k g_k elsewhere (heads [T])."""
        parameters, gradients = self.gradients(weights, heads)
        owned_parameters, owned_gradients = self._graph.owned_gradients(heads)
        parameters += owned_parameters
        gradients += owned_gradients
        deposit(parameters, gradients, penalty=penalty)

    def combine(
        self, combiner: Combiner, heads: Tensor, penalty: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Add to `.grad` what the method makes of all tasks' gradients at once."""
        shared = [place for place, piece in enumerate(self._pieces) if piece.shared]
        flat = [torch.stack(self._rows(place, self._pieces[place])).reshape(self.tasks, -1) for place in shared]
        parameters = [leaf_tensor(self._pieces[place].leaf) for place in shared]
        gradients: list[Tensor] = []
        if shared:
            with torch.no_grad():
                row = combiner.combine(torch.cat(flat, dim=1), generator)
            cut = torch.split(row, [tensor.numel() for tensor in parameters])
            gradients = [part.reshape(tensor.shape) for part, tensor in zip(cut, parameters, strict=True)]
        for place, piece in enumerate(self._pieces):
            gradient = None if piece.shared else self._gradient(place, piece, heads)
            if gradient is not None:
                parameters.append(leaf_tensor(piece.leaf))
                gradients.append(gradient)
        owned_parameters, owned_gradients = self._graph.owned_gradients(heads)
        deposit(parameters + owned_parameters, gradients + owned_gradients, penalty=penalty)

    def _check(self, owned: Owned, names: Sequence[str]) -> None:
        """Raise DataError if a task's gradient lies on rows it was not said to have."""
        for box in owned.arrivals.values():
            for group, owner in zip(self._layout.groups, self._layout.owners, strict=True):
                for task in group:
                    if task not in box:
                        continue
                    sent = box[task]
                    mine = spread(owner == task, sent.shape[0])
                    if bool(sent[~mine].any()):
                        raise DataError(
                            f"rows of task '{names[task]}': expected its loss to depend on {int((owner == task).sum())} of "
                            f"{self._layout.batch} rows; its gradient is not zero on others; give all its rows"
                        )

    def _passes(self, edges: list[GradientEdge], keep_graph: bool) -> list[list[Tensor | None]]:
        arrivals = self._graph.owned.arrivals
        answer: list[list[Tensor | None]] = []
        for place, group in enumerate(self._layout.groups):
            outputs, sent = [], []
            for (node, number), box in arrivals.items():
                chosen = [box[task] for task in group if task in box]
                if chosen:
                    outputs.append(GradientEdge(node, number))
                    sent.append(chosen[0] if len(chosen) == 1 else torch.stack(chosen).sum(0))
            if not outputs:
                answer.append([None] * len(edges))
                continue
            last = place == len(self._layout.groups) - 1
            with explained():
                got = torch.autograd.grad(outputs, edges, sent, retain_graph=keep_graph or not last, allow_unused=True)
            answer.append(list(got))
        return answer

    def _gramian(self, place: int, piece: Piece) -> Tensor:
        arrived = [group[piece.edge] for group in self._arrived]
        if not piece.ghost:
            flat = torch.stack([row.reshape(-1) for row in self._rows(place, piece)])
            return flat @ flat.t()
        gram = torch.zeros(self.tasks + 1, self.tasks + 1, dtype=torch.float64, device=self._graph.device)
        inputs = at_least_float32(piece.inputs)
        inner = inputs @ inputs.t()
        for g, left in enumerate(arrived):
            for h, right in enumerate(arrived):
                if left is None or right is None:
                    continue
                entries = inner * (at_least_float32(left) @ at_least_float32(right).t())
                one = spread(self._layout.owners[g], left.shape[0])
                two = spread(self._layout.owners[h], right.shape[0])
                by_left = entries.new_zeros(self.tasks + 1, entries.shape[1]).index_add_(0, one, entries)
                both = entries.new_zeros(self.tasks + 1, self.tasks + 1).index_add_(1, two, by_left)
                gram += both
        return gram[:-1, :-1]

    def _rows(self, place: int, piece: Piece) -> list[Tensor]:
        """Each task's own gradient for a piece, formed from its rows only."""
        known = self._whole.get(place)
        if known is not None:
            return known
        tensor = leaf_tensor(piece.leaf)
        rows = [at_least_float32(torch.zeros_like(tensor)) for _ in range(self.tasks)]
        with torch.no_grad():
            for owner, group, arrived in zip(self._layout.owners, self._layout.groups, self._arrived, strict=True):
                delta = arrived[piece.edge]
                if delta is None:
                    continue
                here = spread(owner, delta.shape[0])
                for task in group:
                    rows[task] = at_least_float32(piece.gradient(delta, (here == task).nonzero().squeeze(1)))
        self._whole[place] = rows
        return rows

    def _gradient(self, place: int, piece: Piece, factors: Tensor) -> Tensor | None:
        """sum_k f_k g_k for a piece, by weighing rows where that is one product, else from the tasks' gradients."""
        if not piece.ghost:
            rows = torch.stack(self._rows(place, piece))
            whole: Tensor = torch.tensordot(factors.to(rows), rows, 1)
            return whole
        by_row = torch.cat([factors, factors.new_zeros(1)])
        total: Tensor | None = None
        for owner, arrived in zip(self._layout.owners, self._arrived, strict=True):
            delta = arrived[piece.edge]
            if delta is None:
                continue
            weighed = delta * by_row[spread(owner, delta.shape[0])].to(delta.dtype).view(-1, 1)
            total = weighed if total is None else total + weighed
        return None if total is None else piece.gradient(total, None)


def spread(by_row: Tensor, rows: int) -> Tensor:
    """A vector [B] over the batch's rows, for a tensor with `rows` = m B of them, m in a row of the batch."""
    return by_row if rows == by_row.shape[0] else by_row.repeat_interleave(rows // by_row.shape[0])
