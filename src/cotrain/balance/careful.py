"""The same care for every method: what cannot be weighed is left out, the rest is answered, nothing is silent.

T tasks in a step. A task is left out of one step, with weight 0, when its loss or any of its gradient's inner products is not
finite (counted in `skipped`), and, for gradient methods, when its gradient is exactly zero on the shared part: it asks for
nothing there, any weight would do, and most rules are undefined for it. A method therefore only ever sees finite tensors, and
the paper's formula stands alone in its file.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from cotrain.balance.protocol import Need, Seen, Weigher
from cotrain.core.errors import ConfigError, UnsupportedError


class CarefulWeigher(Weigher):
    """A weigher that writes its rule in `answer` and is shown only what can be weighed.

    A subclass's constructor calls `super().__init__()`; a subclass with a state of its own extends `state_dict` by way of
    `own_state` and `load_own_state`.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, int] = {}
        """For each task, in how many steps it was left out because its loss or gradient was not finite."""
        self._notes: list[str] = []

    @abc.abstractmethod
    def answer(self, seen: Seen) -> Tensor:
        """Weights [T] (or [L, T]) by the paper's rule; every tensor in `seen` is finite and float64, T >= 1."""

    def own_state(self) -> dict[str, Any]:
        """What the method itself has learnt; see `Balancer.state_dict`."""
        return {}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `own_state` gave."""

    def note(self, sentence: str) -> None:
        """Say in this step's report that something did not go as planned."""
        self._notes.append(sentence)

    @final
    def weigh(self, seen: Seen) -> Tensor:
        """Weights [T] (or [L, T]), finite, 0 for every task left out."""
        self._notes = []
        sound = sound_tasks(seen)
        if not bool(sound.all()):
            names = [task for task, good in zip(seen.tasks, sound.tolist(), strict=True) if not good]
            for name in names:
                self.skipped[name] = self.skipped.get(name, 0) + 1
            self.note(f"{type(self).__name__}: loss or gradient not finite, left out of this step: {', '.join(names)}")
        kept = sound
        if self.family == "gradient" and seen.gramian is not None:
            kept = sound & (seen.gramian.diagonal() > 0)
        everyone = bool(kept.all())
        if not everyone and not bool(kept.any()):
            return torch.zeros_like(seen.losses, dtype=torch.float64)
        answer = self.answer(in_float64(seen if everyone else narrowed(seen, kept)))
        if not bool(answer.isfinite().all()):
            self.note(
                f"{type(self).__name__}: the rule gave weights that are not finite; unit weights used in this step"
            )
            answer = torch.ones_like(answer)
        if everyone:
            return answer
        weights = answer.new_zeros((*answer.shape[:-1], len(seen.tasks)))
        weights[..., kept] = answer
        return weights

    @final
    def notes(self) -> list[str]:
        """What did not go as planned at the last call."""
        return list(self._notes)

    @final
    def state_dict(self) -> dict[str, Any]:
        """What was learnt, and how often which task was skipped."""
        return {"skipped": dict(self.skipped), "own": self.own_state()}

    @final
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.skipped = {str(task): int(count) for task, count in state["skipped"].items()}
        self.load_own_state(state["own"])


class GramianWeigher(CarefulWeigher):
    """A careful weigher whose rule is a function of the Gramian, so that it can be asked without an engine: `weights`."""

    needs: frozenset[Need] = frozenset({"gramian"})

    @final
    def weights(self, gramian: Tensor, losses: Tensor | None = None) -> Tensor:
        """The paper's weights [T] for a Gramian [T, T] of inner products, untouched, in the Gramian's dtype and device.

        `losses` [T] are asked for only by methods whose rule reads them. Tasks are named "0", "1", ... in any state that is
        kept. Raises ConfigError if the Gramian is not square or losses are missing or of another length.
        """
        if gramian.ndim != 2 or gramian.shape[0] != gramian.shape[1] or gramian.shape[0] == 0:
            raise ConfigError(
                f"{type(self).__name__}.weights expects a square Gramian [T, T]; got shape {list(gramian.shape)}; "
                "pass jacobian @ jacobian.T"
            )
        count = gramian.shape[0]
        if losses is None and "losses" in self.needs:
            raise ConfigError(
                f"{type(self).__name__} also reads the losses; got none; pass losses=, a tensor [{count}]"
            )
        if losses is not None and losses.shape != (count,):
            raise ConfigError(
                f"{type(self).__name__}.weights expects losses [{count}], one a task; got shape {list(losses.shape)}; "
                "pass them in the Gramian's order"
            )
        shown = torch.ones(count, dtype=torch.float64, device=gramian.device) if losses is None else losses.detach()
        seen = Seen(tuple(str(task) for task in range(count)), shown.double(), 0, gramian=gramian.detach().double())
        return self.weigh(seen).to(gramian.dtype)


def gramian_of(seen: Seen) -> Tensor:
    """The Gramian [T, T] of this step. Raises UnsupportedError where the caller gave none."""
    if seen.gramian is None:
        raise UnsupportedError(
            "this method needs the Gramian of the gradients; got none; run it in an engine that gives one"
        )
    return seen.gramian


def sound_tasks(seen: Seen) -> Tensor:
    """[T], true where the loss and the task's own squared gradient norm are finite.

    A row with an infinite or NaN gradient has such a norm, and the other rows' norms stay finite: so one bad task is told from
    the good ones, although it spoils a row and a column.
    """
    sound = seen.losses.isfinite()
    if seen.validation is not None:
        sound = sound & seen.validation.isfinite()
    if seen.gramian is not None:
        sound = sound & seen.gramian.diagonal().isfinite()
    if seen.layer_gramians is not None:
        sound = sound & seen.layer_gramians.diagonal(dim1=-2, dim2=-1).isfinite().all(dim=0)
    if seen.second_gramian is not None:
        sound = sound & seen.second_gramian.diagonal().isfinite()
    return sound


def narrowed(seen: Seen, kept: Tensor) -> Seen:
    """`seen` with the tasks of the mask `kept` [T] only."""

    def square(matrix: Tensor | None) -> Tensor | None:
        return None if matrix is None else matrix[..., kept, :][..., :, kept]

    return Seen(
        tasks=tuple(task for task, keep in zip(seen.tasks, kept.tolist(), strict=True) if keep),
        losses=seen.losses[kept],
        step=seen.step,
        gramian=square(seen.gramian),
        layer_gramians=square(seen.layer_gramians),
        second_gramian=square(seen.second_gramian),
        validation=None if seen.validation is None else seen.validation[kept],
    )


def in_float64(seen: Seen) -> Seen:
    """`seen` with every tensor in float64."""

    def double(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.double()

    return Seen(
        tasks=seen.tasks,
        losses=seen.losses.double(),
        step=seen.step,
        gramian=double(seen.gramian),
        layer_gramians=double(seen.layer_gramians),
        second_gramian=double(seen.second_gramian),
        validation=double(seen.validation),
    )
