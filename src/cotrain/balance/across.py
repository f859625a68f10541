"""Exact and feature-based steps over several processes, equal to one process on the joined batch.

The gradient of a task is the sum of what the processes hold of it, so its inner products need what meets between processes. For
each shared parameter the cheaper message is sent: the T rows, summed, or each process's inputs x and deltas d, gathered, from
which <g_j, g_k> = <(x x^T) d_j, d_k> over the rows of all. All processes then know the same Gramian and make the same weights; the
balanced gradient is summed once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from cotrain.balance.exact import Exact
from cotrain.balance.features import Features
from cotrain.balance.passes import Graph
from cotrain.balance.processes import Processes
from cotrain.balance.protocol import Combiner
from cotrain.balance.scope import Scope
from cotrain.balance.units import Ghost, Unit, at_least_float32, stacked
from cotrain.balance.walk import SHARED, leaf_tensor
from cotrain.core.errors import UnsupportedError

ABSENT = -2
"""In place of an owner: this process's losses do not reach the parameter."""
FORMS = {("mm", False): 1, ("mm", True): 2, ("bmm", False): 3, ("bmm", True): 4, ("conv", False): 5}
"""Forms in which inputs and deltas can be gathered; 0 is any other."""


class AcrossExact:
    """The per-task gradients of all processes' graphs, with the interface of `Exact`."""

    def __init__(
        self,
        graph: Graph,
        scope: Scope,
        processes: Processes,
        *,
        chunk: int | None,
        keep_graph: bool,
        ghosts: bool = True,
    ) -> None:
        self._processes = processes
        self._graph = graph
        self._exact = Exact(graph, scope, chunk=chunk, keep_graph=keep_graph, ghosts=ghosts, folds=False)
        self.tasks = graph.tasks
        self.fallbacks, self.notes = self._exact.fallbacks, self._exact.notes
        self._units: dict[int, Unit] = {}
        for unit in self._exact.plan.units:
            place = processes.place_of(leaf_tensor(unit.leaf))
            self._units[place] = unit
            unit.layer = processes.layer[place]
        self._exact.plan.layers = 1 + max(processes.layer)
        self._rows: dict[int, dict[int, Tensor]] = {}
        """By parameter: gradients of shared parameters that only one task reaches here."""
        self._meetings = self._agree(scope)

    def _agree(self, scope: Scope) -> dict[int, list[list[int]]]:
        """For each parameter that is shared in the end, by rank: its owner here, its form, its rows."""
        processes, owned = self._processes, self._graph.owned
        mine = torch.zeros(len(processes.parameters), 3, dtype=torch.long)
        mine[:, 0] = ABSENT
        places = {processes.place_of(leaf_tensor(leaf)): leaf for leaf in owned.leaves}
        for place, leaf in places.items():
            mine[place, 0] = self._graph.found.owner[leaf]
        for place, unit in self._units.items():
            mine[place, 0] = SHARED
            if isinstance(unit, Ghost):
                mine[place, 1] = FORMS[unit.products[0].kind, unit.products[0].flipped]
                mine[place, 2] = sum(product.rows for product in unit.products)
        gathered = torch.stack(processes.gather(mine.to(processes.device)), dim=1).tolist()
        meetings: dict[int, list[list[int]]] = {}
        for place, (tensor, ranks) in enumerate(zip(processes.parameters, gathered, strict=True)):
            owners = {owner for owner, _, _ in ranks if owner != ABSENT}
            if not scope.holds(tensor) or not (SHARED in owners or len(owners) > 1):
                continue
            meetings[place] = ranks
            if place in places:
                leaf = places[place]
                self._rows[place] = {self._graph.found.owner[leaf]: owned.leaves.pop(leaf)}
        return meetings

    def gramians(self) -> tuple[Tensor, Tensor | None]:
        """[T, T] and, by layer (module), [L, T, T], float64: inner products of the tasks' gradients over all processes."""
        layers = torch.zeros(
            self._exact.plan.layers, self.tasks, self.tasks, dtype=torch.float64, device=self._processes.device
        )
        with torch.no_grad():
            for place, ranks in self._meetings.items():
                forms = {form for owner, form, _ in ranks if owner != ABSENT}
                most = max(rows for _, _, rows in ranks)
                gathering = len(forms) == 1 and 0 not in forms and self._gathering_is_cheaper(place, most)
                part = self._by_gathering(place, most) if gathering else self._by_rows(place)
                layers[self._processes.layer[place]] += part
        return layers.sum(0), layers

    def _gathering_is_cheaper(self, place: int, rows: int) -> bool:
        """Whether all processes' x [N, i] and d [T, N, o] are a smaller message than T rows [i, o], sent and returned."""
        tensor = self._processes.parameters[place]
        outputs = tensor.shape[0] if tensor.dim() > 1 else 1
        inputs = tensor.numel() // max(outputs, 1)
        return self._processes.size * rows * (inputs + self.tasks * outputs) < 2 * self.tasks * tensor.numel()

    def _by_gathering(self, place: int, most: int) -> Tensor:
        """[T, T] from the inputs and deltas of all processes; each process multiplies its own rows with everybody's."""
        unit = self._units.get(place)
        if isinstance(unit, Ghost):
            x, delta = unit.matrices(self._exact.rows)
            shapes = [*x.shape[:-2], x.shape[-1], delta.shape[-1]]
        else:
            x = delta = torch.empty(0)
            shapes = []
        shapes = self._shapes(place, shapes)
        lead, inputs, outputs = shapes[:-2], shapes[-2], shapes[-1]
        dtype = at_least_float32(self._processes.parameters[place][:0]).dtype
        wide_x = torch.zeros(*lead, most, inputs, dtype=dtype, device=self._processes.device)
        wide_delta = torch.zeros(self.tasks, *lead, most, outputs, dtype=dtype, device=self._processes.device)
        if isinstance(unit, Ghost):
            wide_x[..., : x.shape[-2], :] = x
            wide_delta[..., : delta.shape[-2], :] = delta
        everyone_x = torch.cat(self._processes.gather(wide_x), dim=-2)
        everyone_delta = torch.cat(self._processes.gather(wide_delta), dim=-2)
        spread = torch.matmul(wide_x @ everyone_x.transpose(-1, -2), everyone_delta)
        part = wide_delta.reshape(self.tasks, -1) @ spread.reshape(self.tasks, -1).t()
        return self._processes.sum(part.double())

    def _shapes(self, place: int, mine: list[int]) -> list[int]:
        """[..., i, o] of a product, from any process that has it."""
        message = torch.tensor([*mine, *[0] * (3 - len(mine))], device=self._processes.device)
        found = torch.stack(self._processes.gather(message)).amax(0).tolist()
        return [value for value in found if value]

    def _by_rows(self, place: int) -> Tensor:
        """[T, T] from the rows, summed over processes."""
        rows = self._processes.sum(self._local_rows(place)).reshape(self.tasks, -1)
        return (rows @ rows.t()).double()

    def _local_rows(self, place: int) -> Tensor:
        """[T, ...]: what this process holds of each task's gradient for a parameter."""
        tensor = self._processes.parameters[place]
        if place in self._units:
            unit, answer = self._units[place], []
            for task in range(self.tasks):
                answer.append(unit.gradients(lambda edge, task=task: stacked(self._exact.rows[edge])[task])[0][1])  # type: ignore[misc]
            return at_least_float32(torch.stack(answer))
        rows = at_least_float32(torch.zeros(self.tasks, *tensor.shape, dtype=tensor.dtype, device=tensor.device))
        for task, gradient in self._rows.get(place, {}).items():
            rows[task] = gradient
        return rows

    def leave_out(self, bad: Sequence[int]) -> None:
        """Forget the gradients of these tasks."""
        self._exact.leave_out(bad)
        for rows in self._rows.values():
            for task in bad:
                rows.pop(task, None)

    def apply(self, weights: Tensor, heads: Tensor, penalty: Tensor | None) -> None:
        """Add to `.grad`, summed over processes: sum_k w_k g_k on shared parameters, h_k g_k elsewhere."""
        parameters, gradients = self._exact.gradients(weights, heads)
        by_layer = weights.tolist() if weights.dim() == 2 else [weights.tolist()] * self._exact.plan.layers
        for place, rows in self._rows.items():
            for task, gradient in rows.items():
                parameters.append(self._processes.parameters[place])
                gradients.append(gradient * by_layer[self._processes.layer[place]][task])
        self._finish(parameters, gradients, heads, penalty)

    def combine(
        self, combiner: Combiner, heads: Tensor, penalty: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Add to `.grad` what the method makes of the summed gradients; the first process draws for all."""
        places = list(self._meetings)
        parameters, gradients = self._exact.others(heads)
        if places:
            with torch.no_grad():
                rows = [self._processes.sum(self._local_rows(place)).reshape(self.tasks, -1) for place in places]
                row = self._processes.first(combiner.combine(torch.cat(rows, dim=1), generator))
            if self._processes.rank == 0:
                tensors = [self._processes.parameters[place] for place in places]
                parameters += tensors
                cut = torch.split(row, [tensor.numel() for tensor in tensors])
                gradients += [part.view_as(tensor).to(tensor.dtype) for part, tensor in zip(cut, tensors, strict=True)]
        self._finish(parameters, gradients, heads, penalty)

    def _finish(self, parameters: list[Tensor], gradients: list[Tensor], heads: Tensor, penalty: Tensor | None) -> None:
        owned_parameters, owned_gradients = self._graph.owned_gradients(heads)
        self._processes.finish(parameters + owned_parameters, gradients + owned_gradients, penalty=penalty)


class AcrossFeatures:
    """The per-task gradients at the features of all processes, with the interface of `Features`: rows of the batch add up."""

    fallbacks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, graph: Graph, scope: Scope, processes: Processes) -> None:
        scope.refuse_narrowing(graph.found)
        common = {processes.place_of(leaf_tensor(leaf)) for leaf in graph.found.uses}
        owners = {processes.place_of(leaf_tensor(leaf)): graph.found.owner[leaf] for leaf in graph.owned.leaves}
        mine = [SHARED if p in common else owners.get(p, ABSENT) for p in range(len(processes.parameters))]
        ranks = torch.stack(processes.gather(torch.tensor(mine, device=processes.device)), dim=1).tolist()
        if any(len({owner for owner in found if owner != ABSENT}) > 1 for found in ranks):
            raise UnsupportedError(
                "mode='features' over several processes expects the same features on each; got a parameter that several tasks "
                "reach on one process and one task on another; give every process rows of every task, or use mode='exact'"
            )
        self._features = Features(graph, scope)
        self._graph = graph
        self._processes = processes
        self.tasks = graph.tasks

    def gramians(self) -> tuple[Tensor, Tensor | None]:
        """[T, T] float64: <z_j, z_k> over all features of all processes."""
        return self._processes.sum(self._features.gramians()[0].to(self._processes.device)), None

    def leave_out(self, bad: Sequence[int]) -> None:
        """Forget the gradients of these tasks."""
        self._features.leave_out(bad)

    def apply(self, weights: Tensor, heads: Tensor, penalty: Tensor | None) -> None:
        """Add to `.grad`, summed over processes: the trunk's gradient for sum_k w_k z_k, h_k g_k elsewhere."""
        self._finish(self._features.sums(weights), heads, penalty)

    def combine(
        self, combiner: Combiner, heads: Tensor, penalty: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Add to `.grad` the trunk's gradient for what the method makes of each process's own features."""
        self._finish(self._features.combined(combiner, generator), heads, penalty)

    def _finish(self, sums: Sequence[tuple[GradientEdge, Tensor]], heads: Tensor, penalty: Tensor | None) -> None:
        parameters, gradients = self._graph.owned_gradients(heads)
        self._processes.finish(
            parameters, gradients, [edge for edge, _ in sums], [total for _, total in sums], penalty=penalty
        )
