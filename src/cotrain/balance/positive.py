"""What methods built on log l_k or on ratios of losses ask for: losses that are not negative.

Every loss of cotrain's own is a deviance, at least zero and zero at a perfect answer. In somebody else's loop a loss may be
negative (a log-likelihood, a reward); a method that takes its logarithm cannot serve there and says so.
"""

from __future__ import annotations

from torch import Tensor

from cotrain.balance.protocol import Seen
from cotrain.core.errors import TrainingError


def checked_losses(seen: Seen, method: str) -> Tensor:
    """The losses [T] of this step, all >= 0. Raises TrainingError naming the task whose loss is negative."""
    if bool((seen.losses < 0).any()):
        task, value = min(zip(seen.tasks, seen.losses.tolist(), strict=True), key=lambda pair: pair[1])
        raise TrainingError(
            f"{method} needs losses that are never negative; task '{task}' has {value:.4g} at step {seen.step}; "
            "shift that loss so that a perfect answer costs 0, or choose a method that reads gradients only, such as nash_mtl"
        )
    return seen.losses


def reciprocal(losses: Tensor) -> Tensor:
    """1 / l [T], and 0 where l is 0: a task with a perfect answer asks for nothing in this step."""
    return (1 / losses).masked_fill(losses == 0, 0.0)
