"""The engine: from the losses of several tasks to `.grad`, balanced by any method, inside any training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from cotrain.balance.across import AcrossExact, AcrossFeatures
from cotrain.balance.check import check_against_loop
from cotrain.balance.disjoint import Disjoint, disjoint_or_reason
from cotrain.balance.exact import Exact
from cotrain.balance.features import Features
from cotrain.balance.length import Length, lengthened
from cotrain.balance.passes import Graph
from cotrain.balance.present import Step, given_weights, present, without_skipped
from cotrain.balance.processes import Processes, over_processes
from cotrain.balance.protocol import Balancer, Combiner, Seen, Weigher
from cotrain.balance.report import Measurement, Report
from cotrain.balance.scope import Scope
from cotrain.balance.sum import Sum
from cotrain.core.errors import ConfigError, UnsupportedError

Mode = Literal["exact", "features"]
Gathered = Exact | Features | Disjoint | AcrossExact | AcrossFeatures
"""The per-task gradients of one step; all forms answer `gramians`, `leave_out`, `apply` and `combine`."""

WEIGHTS_LOST = "the method's weights are not finite"


@final
class Engine:
    """Backward passes whose shared part is balanced: `backward` in place of `Tensor.backward`.

    shared: a module, or parameters, that the balance is about; it only narrows. Without it: every parameter that two or more
    losses reach. Common parameters outside `shared` are treated like heads.
    balancer: a `Weigher` or a `Combiner`.
    mode: "exact" works with inner products of the gradients themselves; "features" with those at the features, the tensors where
    the part that two or more losses reach ends: about one joint step, an upper bound's Gramian.
    length: "norm" (default) rescales a gradient method's weights so that sum_k |w_k g_k| = sum_k |g_k|, so that one learning rate
    serves all methods; "paper" leaves them as the method gives them. Loss-based methods and combiners are never rescaled.
    every: steps between two refreshes of the weights; in between the last ones are reused at the cost of a joint step.
    chunk: how many tasks' gradients travel through the shared part at once; None chooses, 1 is a loop with the least memory.
    generator: source of random draws for combiners. check: compare the first step with a plain loop of one backward a task.
    tasks: names in the order that every report uses; without it the order of the losses.
    network: the whole module; needed over several processes, where its parameters' order is what processes agree on.

    Heads keep their own task's unit gradient under gradient methods; loss-based methods weigh trunk and heads alike. With
    accumulation each call is balanced on its own; `probe` on the summed losses and `backward(weights=...)` on each part is the
    exact form in two passes.

    >>> from cotrain.balance.nash_mtl import NashMTL
    >>> trunk, left, right = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 1)
    >>> hidden = torch.tanh(trunk(torch.ones(2, 4)))
    >>> losses = {"left": left(hidden).square().mean(), "right": right(hidden).square().mean()}
    >>> report = Engine(balancer=NashMTL()).backward(losses)
    >>> list(report.weights), report.gramian.shape, trunk.weight.grad.shape
    (['left', 'right'], torch.Size([2, 2]), torch.Size([8, 4]))
    """

    def __init__(
        self,
        shared: nn.Module | Iterable[Tensor] | None = None,
        balancer: Balancer | None = None,
        *,
        mode: Mode = "exact",
        length: Length = "norm",
        every: int = 1,
        chunk: int | None = None,
        generator: torch.Generator | None = None,
        check: bool = False,
        tasks: Sequence[str] | None = None,
        network: nn.Module | None = None,
    ) -> None:
        if not isinstance(balancer, Weigher | Combiner):
            raise ConfigError(
                f"Engine expects a balancer, a Weigher or Combiner; got {balancer!r}; pass balancer=NashMTL()"
            )
        if mode not in ("exact", "features"):
            raise ConfigError(f"Engine's mode is 'exact' or 'features'; got {mode!r}; choose one of the two")
        if length not in ("norm", "paper"):
            raise ConfigError(f"Engine's length is 'norm' or 'paper'; got {length!r}; choose one of the two")
        if every < 1 or (chunk is not None and chunk < 1):
            raise ConfigError(f"Engine's every and chunk are at least 1; got every={every}, chunk={chunk}; raise them")
        needs = balancer.needs if isinstance(balancer, Weigher) else frozenset()
        refuse_needs(balancer, needs, mode)
        self.balancer: Weigher | Combiner = balancer
        self.mode: Mode = mode
        self.length: Length = length
        self.every = every
        self.chunk = chunk
        self.generator = generator
        self.check = check
        self.steps = 0
        """How many steps were made, skipped ones included."""
        self.skipped_steps = 0
        """In how many of them nothing was added to `.grad`."""
        self._held: dict[str, list[float]] = {}
        self._scope = Scope(shared, network)
        self._tasks = tuple(tasks or ())
        self._network = network
        self._processes: Processes | None = None
        self._at_features = mode == "features" or (isinstance(balancer, Combiner) and balancer.at == "features")
        self._needs_gramian = isinstance(balancer, Combiner) or bool(needs & {"gramian", "layer_gramians"})

    def backward(
        self,
        losses: Mapping[str, Tensor],
        *,
        penalty: Tensor | None = None,
        rows: Mapping[str, Tensor] | None = None,
        weights: Mapping[str, float] | None = None,
        loss_scale: float = 1.0,
    ) -> Report:
        """Add the balanced gradient to `.grad` everywhere, as `Tensor.backward` does, and say what was done.

        losses: scalars by task name; a task without labels in this batch is simply absent. A task whose loss or gradient is not
        finite is left out of this step and named in the report; if none is left, or the penalty is not finite, nothing is added
        to any `.grad` and the step counts as skipped.
        penalty: belongs to no task, is added unweighted.
        rows: which rows of the batch each task has, an index tensor or a boolean mask over the batch, by task. Tasks with disjoint
        rows then travel together wherever the graph keeps rows apart; the report says why if it does not. A task whose gradient
        reaches other rows than it was said to have is refused with DataError.
        weights: use these, by task, instead of asking the method.
        loss_scale: the factor that mixed precision put on losses and penalty. Gradients stay scaled, weights are made as without
        it; what is not finite stays visible in `.grad`, so that the scaler skips the step.
        """
        start = time.perf_counter()
        step = present(losses, penalty, rows, loss_scale, self._tasks, self._joined())
        if step.skipped and loss_scale != 1.0:
            return self._close(self._visible(step), start)
        if step.skipped:
            step = without_skipped(step)
        if not step.names or "penalty" in step.skipped:
            if not step.skipped:
                self._plain([], None, penalty)
            report = Report(step.names, step.losses, None, skipped=step.skipped, step_skipped=bool(step.skipped))
            return self._close(report, start)
        if weights is not None:
            return self._close(self._weighted(step, given_weights(step.names, weights, step.losses), False), start)
        if self.steps % self.every and all(name in self._held for name in step.names):
            columns = step.losses.new_tensor([self._held[name] for name in step.names])
            applied = columns[:, 0] if columns.shape[1] == 1 else columns.t()
            return self._close(self._weighted(step, applied, False), start)
        report = self._gathered(step) if self._needs_gramian else self._weighed(step)
        if self.every > 1 and report.applied is not None:
            columns = report.applied.reshape(-1, len(report.tasks)).t()
            self._held.update(zip(report.tasks, columns.tolist(), strict=True))
        return self._close(report, start)

    def probe(self, losses: Mapping[str, Tensor]) -> Measurement:
        """Losses, Gramian and (in `exact` mode) Gramians by layer of these losses; no `.grad` is touched, the graph stays."""
        step = present(losses, None, None, 1.0, self._tasks, self._joined())
        if not step.names:
            raise ConfigError("Engine.probe expects losses by task name; got none; pass at least one")
        gramian, layers = self._gather(step, keep_graph=True).gramians()
        return Measurement(step.names, step.losses, gramian, layers)

    def state_dict(self) -> dict[str, Any]:
        """The method's state, the counters, the weights held between refreshes and the generator's state."""
        return {
            "balancer": self.balancer.state_dict(),
            "steps": self.steps,
            "skipped_steps": self.skipped_steps,
            "held": {name: list(column) for name, column in self._held.items()},
            "generator": None if self.generator is None else self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.balancer.load_state_dict(state["balancer"])
        self.steps, self.skipped_steps = int(state["steps"]), int(state["skipped_steps"])
        self._held = {str(name): [float(value) for value in column] for name, column in state["held"].items()}
        if self.generator is not None and state["generator"] is not None:
            self.generator.set_state(state["generator"])

    def _joined(self) -> Processes | None:
        """The calls between processes, None where there is one process."""
        if not over_processes():
            return None
        if self._processes is None:
            self._processes = Processes(self._network, self._tasks)
        return self._processes

    @property
    def passes_once(self) -> bool:
        """Whether steps send all losses back in one pass, so that no gradient of a single task is looked at (`cotrain.core.together`)."""
        return self.balancer.family == "loss" and not self._needs_gramian

    @property
    def _checking(self) -> bool:
        """Whether this step is held against the plain loop."""
        return self.check and self.steps == 0 and not self._at_features

    def _gather(self, step: Step, *, keep_graph: bool = False) -> Gathered:
        """The per-task gradients of this step, in the form that this engine's mode and method ask for."""
        keep_graph = keep_graph or step.penalty is not None or self._checking
        processes, ghosts = self._joined(), isinstance(self.balancer, Weigher)
        graph = Graph(step.values, keep_graph)
        if self._at_features:
            return Features(graph, self._scope) if processes is None else AcrossFeatures(graph, self._scope, processes)
        if processes is not None:
            return AcrossExact(graph, self._scope, processes, chunk=self.chunk, keep_graph=keep_graph, ghosts=ghosts)
        reason = ""
        if step.rows:
            apart = disjoint_or_reason(graph, self._scope, step.names, step.rows, keep_graph)
            if not isinstance(apart, str):
                return apart
            reason = f"rows: one pass a task, because {apart}"
        return Exact(graph, self._scope, chunk=self.chunk, keep_graph=keep_graph, ghosts=ghosts, note=reason)

    def _gathered(self, step: Step) -> Report:
        """A step whose weights, or whose combined gradient, come from the gradients."""
        gathered = self._gather(step)
        gramian, layers = gathered.gramians()
        if self._checking and isinstance(gathered, Exact | Disjoint):
            check_against_loop(gathered, step.values, gramian)
        if step.loss_scale != 1.0:
            gramian, layers = gramian / step.loss_scale**2, None if layers is None else layers / step.loss_scale**2
        names, losses, skipped = step.names, step.losses, step.skipped
        kept = list(range(len(names)))
        if not math.isfinite(float(gramian.sum())):
            good = gramian.diagonal().isfinite().tolist()
            lost = {name: "its gradient is not finite" for name, fine in zip(names, good, strict=True) if not fine}
            skipped = {**skipped, **lost}
            if step.loss_scale != 1.0:
                unit = torch.ones_like(losses)
                gathered.apply(unit, unit, step.penalty)
                return Report(names, losses, None, gramian, layers, skipped, gathered.fallbacks, step_skipped=True)
            kept = [place for place, fine in enumerate(good) if fine]
            gathered.leave_out([place for place, fine in enumerate(good) if not fine])
            names, losses, gramian = tuple(names[place] for place in kept), losses[kept], gramian[kept][:, kept]
            layers = None if layers is None else layers[:, kept][:, :, kept]
            if not kept:
                return Report((), losses, None, None, None, skipped, gathered.fallbacks, step_skipped=True)
        heads = losses.new_zeros(len(step.names))
        heads[kept] = 1.0
        if isinstance(self.balancer, Combiner):
            gathered.combine(self.balancer, heads, step.penalty, self.generator)
            notes = gathered.notes + tuple(self.balancer.notes())
            return Report(names, losses, None, gramian, layers, skipped, gathered.fallbacks, notes)
        seen = Seen(names, losses, self.steps, gramian=gramian, layer_gramians=layers)
        applied = self._answer(self.balancer, seen)
        if applied is None:
            skipped = {**skipped, **dict.fromkeys(names, WEIGHTS_LOST)}
            return Report(names, losses, None, gramian, layers, skipped, gathered.fallbacks, step_skipped=True)
        if self.length == "norm" and self.balancer.family == "gradient":
            applied = lengthened(applied, gramian, layers)
        full = applied
        if len(kept) < len(step.names):
            full = applied.new_zeros((*applied.shape[:-1], len(step.names)))
            full[..., kept] = applied
        if self.balancer.family == "loss":
            heads = full.mean(0) if full.dim() == 2 else full
        gathered.apply(full, heads, step.penalty)
        notes = gathered.notes + tuple(self.balancer.notes())
        return Report(names, losses, applied, gramian, layers, skipped, gathered.fallbacks, notes)

    def _answer(self, balancer: Weigher, seen: Seen) -> Tensor | None:
        """The method's weights, the same on every process; None if they are not finite."""
        weights = balancer.weigh(seen).to(seen.losses)
        processes = self._joined()
        if processes is not None:
            weights = processes.first(weights.to(processes.device)).to(seen.losses)
        return weights if math.isfinite(float(weights.sum())) else None

    def _weighed(self, step: Step) -> Report:
        """A step whose weights come from the losses alone."""
        if isinstance(self.balancer, Sum):
            return self._weighted(step, torch.ones_like(step.losses), True)
        if isinstance(self.balancer, Combiner):
            raise UnsupportedError("a combiner needs gradients; got losses alone; this is a mistake of the engine's")
        weights = self._answer(self.balancer, Seen(step.names, step.losses, self.steps))
        if weights is None:
            skipped = {**step.skipped, **dict.fromkeys(step.names, WEIGHTS_LOST)}
            return Report(step.names, step.losses, None, skipped=skipped, step_skipped=True)
        return self._weighted(step, weights, True)

    def _weighted(self, step: Step, applied: Tensor, refreshed: bool) -> Report:
        """One backward pass with weights that are known before it."""
        fallbacks: tuple[str, ...] = ()
        if self.balancer.family == "loss":
            flat = applied.mean(0) if applied.dim() == 2 else applied
            plain = isinstance(self.balancer, Sum) and refreshed
            self._plain(step.values, None if plain else flat, step.penalty)
        else:
            unit = torch.ones_like(step.losses)
            gathered: Gathered
            graph, processes = Graph(step.values, step.penalty is not None), self._joined()
            keep = step.penalty is not None
            if applied.dim() == 1 and self._scope.holds_all(graph.found):
                features = Features(graph, self._scope)
                gathered = features if processes is None else AcrossFeatures(graph, self._scope, processes)
            elif processes is None:
                gathered = Exact(graph, self._scope, chunk=self.chunk, keep_graph=keep)
            else:
                gathered = AcrossExact(graph, self._scope, processes, chunk=self.chunk, keep_graph=keep)
            gathered.apply(applied, unit, step.penalty)
            fallbacks = gathered.fallbacks
        notes = tuple(self.balancer.notes()) if refreshed else ()
        return Report(step.names, step.losses, applied, None, None, step.skipped, fallbacks, notes, refreshed)

    def _plain(self, values: Sequence[Tensor], weights: Tensor | None, penalty: Tensor | None) -> None:
        """One ordinary backward pass of sum_k w_k l_k + penalty; weights None are all one."""
        processes = self._joined()
        roots = [value for value in values if value.requires_grad]
        if penalty is not None and penalty.requires_grad:
            roots.append(penalty)
        if not roots and processes is None:
            return
        if weights is None and processes is None:
            torch.autograd.backward(roots)
            return
        factors = [1.0] * len(values) if weights is None else weights.tolist()
        sent = [value.new_tensor(f) for f, value in zip(factors, values, strict=True) if value.requires_grad]
        sent += [torch.ones_like(root) for root in roots[len(sent) :]]
        if processes is None:
            torch.autograd.backward(roots, sent)
        else:
            processes.finish([], [], [torch.autograd.graph.get_gradient_edge(root) for root in roots], sent)

    def _visible(self, step: Step) -> Report:
        """Under mixed precision a loss that is not finite is passed as it is, so that the scaler sees it and skips."""
        unit = torch.ones_like(step.losses)
        self._plain(step.values, None, step.penalty)
        return Report(step.names, step.losses, unit, skipped=step.skipped, refreshed=False, step_skipped=True)

    def _close(self, report: Report, start: float) -> Report:
        """Count the step and its time."""
        self.steps += 1
        self.skipped_steps += report.step_skipped
        return report.closed(self.skipped_steps, time.perf_counter() - start)


def refuse_needs(balancer: Balancer, needs: Iterable[str], mode: Mode) -> None:
    """Raise UnsupportedError where this mode, or this engine, cannot give a method what it needs."""
    name = type(balancer).__name__
    if {"second_gramian", "validation"} & set(needs):
        raise UnsupportedError(
            f"Engine gives losses and Gramians of one batch; {name} needs {sorted(needs)}; choose a method without second or "
            "validation batches"
        )
    if mode == "features" and "layer_gramians" in needs:
        raise UnsupportedError(f"mode='features' has one Gramian; {name} needs one for each layer; use mode='exact'")
    if mode == "features" and isinstance(balancer, Combiner) and balancer.at == "parameters":
        raise UnsupportedError(
            f"mode='features' sees gradients at the features; {name} combines them at the parameters; use mode='exact'"
        )
