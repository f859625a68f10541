"""The engine: from the losses of several tasks to `.grad`, balanced by any method, inside any training loop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, final

import torch
from torch import Tensor, nn

from cotrain.balance.disjoint import Disjoint, disjoint_or_reason
from cotrain.balance.exact import Exact
from cotrain.balance.features import Features
from cotrain.balance.length import Length, lengthened
from cotrain.balance.passes import Graph
from cotrain.balance.protocol import Balancer, Combiner, Seen, Weigher
from cotrain.balance.report import Measurement, Report
from cotrain.balance.scope import Scope
from cotrain.core.errors import ConfigError, UnsupportedError

Mode = Literal["exact", "features"]

WEIGHTS_LOST = "the method's weights are not finite"


@final
class Engine:
    """Backward passes whose shared part is balanced.

    shared: a module, or parameters, that the balance is about; it only narrows. Without it: every parameter that two or more
    losses reach. Common parameters outside `shared` are treated like heads.
    balancer: a `Weigher` or a `Combiner`.
    mode: "exact" works with inner products of the gradients themselves; "features" with those at the features, the tensors where
    the part that two or more losses reach ends: about one joint step, an upper bound's Gramian.
    length: "norm" (default) rescales weights so that sum_k |w_k g_k| = sum_k |g_k|, so that one learning rate serves all methods;
    "paper" leaves them as the method gives them. Loss-based methods are never rescaled.
    every: steps between two refreshes of the weights; in between the last ones are reused at the cost of a joint step.
    chunk: how many tasks' gradients travel through the shared part at once; None chooses, 1 is a loop with the least memory.
    generator: source of random draws for combiners. check: compare the first step with a plain loop of one backward a task.
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
            raise ConfigError(f"Engine's every and chunk are at least 1; got every={every}, chunk={chunk}")
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
        self._scope = Scope(shared)
        needs = balancer.needs if isinstance(balancer, Weigher) else frozenset()
        if needs & {"second_gramian", "validation"}:
            raise UnsupportedError(
                f"Engine gives losses and Gramians of one batch; {type(balancer).__name__} needs {sorted(needs)}; "
                "choose a method without second or validation batches"
            )
        self._needs_gramian = bool(needs & {"gramian", "layer_gramians"})
        if mode == "features" and "layer_gramians" in needs:
            raise UnsupportedError(
                f"mode='features' has one Gramian, not one a layer; {type(balancer).__name__} needs one a layer; use mode='exact'"
            )
        if mode == "features" and isinstance(balancer, Combiner) and balancer.at == "parameters":
            raise UnsupportedError(
                f"mode='features' sees gradients at the features; {type(balancer).__name__} combines them at the parameters; "
                "use mode='exact'"
            )

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

        losses: scalars by task name; a task without labels in this batch is simply absent. penalty: added unweighted.
        rows: which rows of the batch each task has. weights: use these instead of asking the method.
        loss_scale: the factor that mixed precision put on the losses and the penalty; gradients stay scaled.
        """
        start = time.perf_counter()
        names, values = tuple(losses), self._checked(losses)
        if not values:
            if penalty is not None and penalty.requires_grad:
                torch.autograd.backward(penalty)
            return self._close(Report((), torch.zeros(0, dtype=torch.float64), None, refreshed=False), start)
        with torch.no_grad():
            seen_losses = torch.stack([value.detach() for value in values]).double()
            if loss_scale != 1.0:
                seen_losses = seen_losses / loss_scale
            finite = seen_losses.isfinite().tolist()
        skipped: dict[str, str] = {}
        if penalty is not None and not bool(penalty.detach().isfinite()):
            skipped["penalty"] = "it is not finite"
        if not all(finite):
            skipped |= {name: "its loss is not finite" for name, good in zip(names, finite, strict=True) if not good}
        if skipped and loss_scale != 1.0:
            return self._close(
                self._visible(_Step(names, values, seen_losses, skipped, penalty, loss_scale, {})), start
            )
        if skipped:
            values = [value for value, good in zip(values, finite, strict=True) if good]
            names = tuple(name for name, good in zip(names, finite, strict=True) if good)
            seen_losses = seen_losses[seen_losses.isfinite()]
            if not values or "penalty" in skipped:
                return self._close(Report(names, seen_losses, None, skipped=skipped, step_skipped=True), start)
        step = _Step(names, values, seen_losses, skipped, penalty, loss_scale, dict(rows) if rows else {})
        if isinstance(self.balancer, Combiner):
            return self._close(self._combined(self.balancer, step), start)
        if weights is not None:
            return self._close(self._weighted(step, self._given(names, weights), False), start)
        if self.steps % self.every and all(name in self._held for name in names):
            columns = seen_losses.new_tensor([self._held[name] for name in names])
            applied = columns[:, 0] if columns.shape[1] == 1 else columns.t()
            return self._close(self._weighted(step, applied, False), start)
        report = self._gathered(self.balancer, step) if self._needs_gramian else self._weighed(self.balancer, step)
        if self.every > 1 and report.applied is not None:
            columns = report.applied.reshape(-1, len(report.tasks)).t()
            self._held.update(zip(report.tasks, columns.tolist(), strict=True))
        return self._close(report, start)

    def probe(self, losses: Mapping[str, Tensor]) -> Measurement:
        """Losses, Gramian and (in `exact` mode) Gramians by layer of these losses; no `.grad` is touched, the graph stays."""
        names, values = tuple(losses), self._checked(losses)
        if not values:
            raise ConfigError("Engine.probe expects losses by task name; got none; pass at least one")
        seen_losses = torch.stack([value.detach() for value in values]).double()
        step = _Step(names, values, seen_losses, {}, None, 1.0, {})
        gramian, layers = self._gather(step, keep_graph=True).gramians()
        return Measurement(names, seen_losses, gramian, layers)

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

    def _gather(self, step: _Step, *, keep_graph: bool = False, ghosts: bool = True) -> Exact | Features | Disjoint:
        """The per-task gradients of this step, in the form that this engine's mode and method ask for."""
        keep_graph = keep_graph or step.penalty is not None
        graph = Graph(step.values, keep_graph)
        if self.mode == "features" or (isinstance(self.balancer, Combiner) and self.balancer.at == "features"):
            return Features(graph, self._scope)
        if not step.rows:
            return Exact(graph, self._scope, chunk=self.chunk, keep_graph=keep_graph, ghosts=ghosts)
        apart = disjoint_or_reason(graph, self._scope, step.names, step.rows, keep_graph)
        if not isinstance(apart, str):
            return apart
        exact = Exact(graph, self._scope, chunk=self.chunk, keep_graph=keep_graph, ghosts=ghosts)
        exact.notes = (f"rows: one pass a task, because {apart}",)
        return exact

    def _gathered(self, balancer: Weigher, step: _Step) -> Report:
        """A step whose weights come from inner products of gradients."""
        gathered = self._gather(step)
        gramian, layers = gathered.gramians()
        if step.loss_scale != 1.0:
            gramian, layers = gramian / step.loss_scale**2, None if layers is None else layers / step.loss_scale**2
        names, losses, skipped = step.names, step.losses, step.skipped
        kept = list(range(len(names)))
        if not bool(gramian.isfinite().all()):
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
        seen = Seen(names, losses, self.steps, gramian=gramian, layer_gramians=layers)
        weights = balancer.weigh(seen).to(losses)
        if not bool(weights.isfinite().all()):
            skipped = {**skipped, **dict.fromkeys(names, WEIGHTS_LOST)}
            return Report(names, losses, None, gramian, layers, skipped, gathered.fallbacks, step_skipped=True)
        applied = weights
        if self.length == "norm" and balancer.family == "gradient":
            applied = lengthened(weights, gramian, layers)
        full = applied.new_zeros((*applied.shape[:-1], len(step.names)))
        full[..., kept] = applied
        heads = full if balancer.family == "loss" else full.new_zeros(len(step.names))
        if balancer.family == "gradient":
            heads[kept] = 1.0
        gathered.apply(full, heads.mean(0) if heads.dim() == 2 else heads, step.penalty)
        return Report(
            names, losses, applied, gramian, layers, skipped, gathered.fallbacks, gathered.notes + notes_of(balancer)
        )

    def _weighed(self, balancer: Weigher, step: _Step) -> Report:
        """A step whose weights come from the losses alone."""
        weights = balancer.weigh(Seen(step.names, step.losses, self.steps))
        if not bool(weights.isfinite().all()):
            skipped = {**step.skipped, **dict.fromkeys(step.names, WEIGHTS_LOST)}
            return Report(step.names, step.losses, None, skipped=skipped, step_skipped=True)
        return self._weighted(step, weights, True)

    def _weighted(self, step: _Step, applied: Tensor, refreshed: bool) -> Report:
        """One backward pass with weights that are known before it."""
        fallbacks: tuple[str, ...] = ()
        if self.balancer.family == "loss":
            flat = applied.mean(0) if applied.dim() == 2 else applied
            roots, factors = [], []
            for value, factor in zip(step.values, flat.to(step.values[0].dtype).unbind(), strict=True):
                if value.requires_grad:
                    roots.append(value)
                    factors.append(factor.to(value.dtype))
            if step.penalty is not None and step.penalty.requires_grad:
                roots.append(step.penalty)
                factors.append(torch.ones_like(step.penalty))
            if roots:
                torch.autograd.backward(roots, factors)
        else:
            keep = step.penalty is not None
            graph = Graph(step.values, keep)
            unit = torch.ones_like(step.losses)
            if applied.dim() == 2 or not self._scope.holds_all(graph.found):
                exact = Exact(graph, self._scope, chunk=self.chunk, keep_graph=keep)
                exact.apply(applied, unit, step.penalty)
                fallbacks = exact.fallbacks
            else:
                Features(graph, self._scope).apply(applied, unit, step.penalty)
        notes = notes_of(self.balancer) if refreshed else ()
        return Report(step.names, step.losses, applied, None, None, step.skipped, fallbacks, notes, refreshed)

    def _combined(self, balancer: Combiner, step: _Step) -> Report:
        """A step of a method that is shown the gradients themselves."""
        gathered = self._gather(step, ghosts=False)
        gathered.combine(balancer, torch.ones_like(step.losses), step.penalty, self.generator)
        return Report(
            step.names,
            step.losses,
            None,
            skipped=step.skipped,
            fallbacks=gathered.fallbacks,
            notes=gathered.notes + notes_of(balancer),
        )

    def _visible(self, step: _Step) -> Report:
        """Under mixed precision a loss that is not finite is passed as it is, so that the scaler sees it and skips."""
        unit = torch.ones_like(step.losses)
        roots = [value for value in [*step.values, step.penalty] if value is not None and value.requires_grad]
        if roots:
            torch.autograd.backward(roots, [torch.ones_like(root) for root in roots])
        return Report(step.names, step.losses, unit, skipped=step.skipped, refreshed=False, step_skipped=True)

    def _checked(self, losses: Mapping[str, Tensor]) -> list[Tensor]:
        """The losses as scalars. Raises ConfigError naming the task whose loss is none."""
        values = []
        for name, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                came = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
                raise ConfigError(f"Engine expects one number a task; task '{name}' gave {came}; reduce its loss first")
            values.append(loss if loss.dim() == 0 else loss.reshape(()))
        return values

    def _given(self, names: tuple[str, ...], weights: Mapping[str, float]) -> Tensor:
        """Weights handed in by the caller, in the order of `names`."""
        missing = [name for name in names if name not in weights]
        if missing:
            raise ConfigError(f"Engine expects a weight for every task; got none for {missing}; add them to `weights`")
        return torch.tensor([float(weights[name]) for name in names], dtype=torch.float64)

    def _close(self, report: Report, start: float) -> Report:
        """Count the step and its time."""
        self.steps += 1
        self.skipped_steps += report.step_skipped
        return replace(report, skipped_steps=self.skipped_steps, seconds=time.perf_counter() - start)


class _Step(NamedTuple):
    """What one call of `backward` is about, checked: only tasks with a finite loss."""

    names: tuple[str, ...]
    values: list[Tensor]
    losses: Tensor
    skipped: dict[str, str]
    penalty: Tensor | None
    loss_scale: float
    rows: dict[str, Tensor]


def notes_of(balancer: Balancer) -> tuple[str, ...]:
    """What the method has to say about its last answer."""
    return tuple(balancer.notes())
