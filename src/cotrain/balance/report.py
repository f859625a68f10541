"""What a step of the engine says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Measurement:
    """Inner products of the tasks' gradients on the shared part, as `Engine.probe` gives them.

    tasks: names, in the order of every tensor here. losses: [T]. gramian: [T, T], float64. layer_gramians: [L, T, T] summing to
    it, or None in `features` mode.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    gramian: Tensor
    layer_gramians: Tensor | None = None

    @property
    def norms(self) -> Tensor:
        """[T]: lengths of the tasks' gradients."""
        return self.gramian.diagonal().clamp_min(0).sqrt()

    @property
    def cosines(self) -> Tensor:
        """[T, T]: cosines between the tasks' gradients, 0 beside a gradient that is zero, 1 on the diagonal.

        >>> Measurement(("a", "b"), torch.ones(2), torch.tensor([[1.0, -1.0], [-1.0, 4.0]])).cosines
        tensor([[ 1.0000, -0.5000],
                [-0.5000,  1.0000]])
        """
        return cosines_of(self.gramian)

    @property
    def norm_ratio(self) -> float:
        """Longest over shortest gradient; infinite beside one that is zero. Above 10, balancing usually matters."""
        return norm_ratio_of(self.gramian)


@dataclass(frozen=True)
class Report:
    """What one `Engine.backward` did.

    tasks: names of the tasks that took part, in the order of every tensor here. losses: [T], float64, not scaled.
    applied: [T] weights as applied to the shared part ([L, T] where the method weighs by layer; None for a combiner).
    gramian: [T, T], None where the method did not need it or its weights were reused. layer_gramians: [L, T, T] likewise.
    skipped: tasks left out of this step, each with its reason (absent tasks are not named).
    fallbacks: parameters without a rule of their own, had at their own edge, each with the operation that uses it.
    notes: what the method or the engine has to say about this step.
    refreshed: weights were computed in this step (False between two refreshes with `every=n`).
    step_skipped: nothing was added to `.grad`. skipped_steps: how often that happened so far.
    seconds: duration of the call.
    """

    tasks: tuple[str, ...]
    losses: Tensor
    applied: Tensor | None
    gramian: Tensor | None = None
    layer_gramians: Tensor | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refreshed: bool = True
    step_skipped: bool = False
    skipped_steps: int = 0
    seconds: float = 0.0

    def closed(self, skipped_steps: int, seconds: float) -> Report:
        """This report with the engine's count and the time taken."""
        head = (self.tasks, self.losses, self.applied, self.gramian, self.layer_gramians, self.skipped, self.fallbacks)
        return Report(*head, self.notes, self.refreshed, self.step_skipped, skipped_steps, seconds)

    @property
    def weights(self) -> dict[str, float]:
        """Weight by task, as applied to the shared part; the mean over layers where the method weighs by layer."""
        if self.applied is None:
            return {}
        flat = self.applied.mean(0) if self.applied.dim() == 2 else self.applied
        return dict(zip(self.tasks, flat.tolist(), strict=True))

    @property
    def cosines(self) -> Tensor | None:
        """[T, T]: cosines between the tasks' gradients, or None without a Gramian."""
        return None if self.gramian is None else cosines_of(self.gramian)

    @property
    def norms(self) -> Tensor | None:
        """[T]: lengths of the tasks' gradients, or None without a Gramian."""
        return None if self.gramian is None else self.gramian.diagonal().clamp_min(0).sqrt()

    @property
    def norm_ratio(self) -> float | None:
        """Longest over shortest gradient, or None without a Gramian."""
        return None if self.gramian is None else norm_ratio_of(self.gramian)


def cosines_of(gramian: Tensor) -> Tensor:
    """[T, T] cosines from inner products; 0 where a row is zero, exactly 1 on the diagonal."""
    norms = gramian.diagonal().clamp_min(0).sqrt()
    inverse = torch.where(norms > 0, 1 / norms.clamp_min(torch.finfo(norms.dtype).tiny), torch.zeros_like(norms))
    cosines = (inverse[:, None] * gramian * inverse[None, :]).clamp(-1, 1)
    cosines.fill_diagonal_(1.0)
    return cosines


def norm_ratio_of(gramian: Tensor) -> float:
    """Longest over shortest gradient of a Gramian; infinite beside a zero row."""
    norms = gramian.diagonal().clamp_min(0).sqrt()
    shortest = float(norms.min())
    return float(norms.max()) / shortest if shortest > 0 else float("inf")
