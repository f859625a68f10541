"""A learning rate from a range test: the rate rises from step to step, and the losses say where it is good and where too high.

    lr_i = low (high / low)^(i / (n - 1))        S_i = sum_k s_k, s_k the bias-corrected moving average of task k's losses over the steps
    lr   = lr_m / 10,                            m the step at which S is least before it rises for good

A copy of the network is trained by the plain sum of the losses, whatever balances them later: one rate serves all methods, since the
engine gives every method's gradient the length of the sum's (`length: norm`). The network, the order of its rows and torch's generators
stay as they were, and the same call gives the same rate again.

Source: L. N. Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017, section 3.3; a tenth of the rate at the minimum is the
rule of the test's users (fast.ai's `minimum`), the steepest descent is told beside it. That losses are smoothed task by task is ours: a task
that has no labels in a batch does not shake the sum.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import cycle
from typing import Any

import torch

from cotrain.core.errors import ConfigError, TrainingError
from cotrain.core.fields import Batch
from cotrain.core.randomness import seed_layers, untouched
from cotrain.model.compose import Model
from cotrain.training.evaluate import meet
from cotrain.training.feed import Batches, Feed
from cotrain.training.optimise import NamedOptimizer, shorten_, total_norm
from cotrain.training.settings import TrainSettings, settings_from
from cotrain.training.still import trained

LOW, HIGH, STEPS = 1e-6, 10.0, 100
SMOOTHING = 0.9
"""Of the moving average of losses."""
WORSE = 4.0
"""The test ends when the smoothed loss is so many times the least."""


FEWEST = 20
"""With fewer steps than this a range of seven powers of ten is passed too fast to tell a rate."""

TOO_SLOW = "train.optimizer.lr: auto had no time to find a rate, since its steps take too long; give a number, such as 0.001, or more time"


class NoTimeError(TrainingError):
    """The steps of a range test take longer than there is."""


@dataclasses.dataclass(frozen=True)
class RateFound:
    """lr: a tenth of the rate at the least loss. steepest: the rate at which the loss fell fastest. rates, losses: of every step made."""

    lr: float
    steepest: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]


def find_lr(
    model: Model,
    batches: Batches,
    *,
    train: TrainSettings | Mapping[str, Any] | None = None,
    seed: int = 0,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
) -> RateFound:
    """The rate for a network on these batches, with the optimiser, clipping and batch size of `train`; nothing of it is changed.

    >>> from cotrain.encoders import MLP
    >>> from cotrain.tasks import Regression
    >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
    >>> model = Model(encoder=MLP(widths=[8]), tasks=[Regression("double")])
    >>> found = find_lr(model, (x, {"double": 2 * x[:, 0]}), train={"batch_size": 16})
    >>> 1e-4 < found.lr < 1, found == find_lr(model, (x, {"double": 2 * x[:, 0]}), train={"batch_size": 16})
    (True, True)
    """
    settings = settings_from(train)
    size = settings.batch_size if isinstance(settings.batch_size, int) else 512
    meet(model, batches)
    feed = Feed(batches, tasks=model.tasks, seed=seed, size=size)
    device = next(model.parameters()).device
    ready = [[batch.to(device) for batch in step] for step in feed.peek(steps)]
    return range_test(model, ready, settings, seed=seed, low=low, high=high, steps=steps)


def range_test(
    model: Model,
    ready: Sequence[Sequence[Batch]],
    settings: TrainSettings,
    *,
    seed: int,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> RateFound:
    """`find_lr` on steps that lie ready on the network's device; fewer than `steps` of them come round again.

    seconds: how long it may take, None for as long as it takes: by the time of the first step there are fewer of them, `FEWEST` at
    least, over the same range of rates. Raises NoTimeError where these take twice as long as well.
    """
    if not 0 < low < high or steps < 10:
        raise ConfigError(f"a range test needs 0 < low < high and at least 10 steps, got {low:g}, {high:g} and {steps}")
    chosen = dataclasses.replace(settings.optimizer, lr=low, warmup_steps=0)
    rates: list[float] = []
    losses: list[float] = []
    means: dict[str, tuple[float, float]] = {}
    with untouched():
        seed_layers(seed)
        probe = copy.deepcopy(model).train()
        optimizer = NamedOptimizer(probe, chosen)
        peaks = [float(group["lr"]) for group in optimizer.optimizer.param_groups]
        began = clock()
        for place, step in enumerate(cycle(ready)):
            if place == 1 and seconds is not None:
                steps = max(FEWEST, min(steps, int(seconds / max(clock() - began, 1e-9))))
            if place == steps:
                break
            if seconds is not None and place and clock() - began > 2 * seconds:
                raise NoTimeError(TOO_SLOW)
            rate = low * (high / low) ** (place / (steps - 1))
            with autocast():
                found = trained(probe.losses(step))
                penalty = probe.penalty()
            parts = [*found.values(), *([] if penalty is None or not penalty.requires_grad else [penalty])]
            if not parts:
                continue
            for task, loss in found.items():
                mean, share = means.get(task, (0.0, 1.0))
                means[task] = (SMOOTHING * mean + (1 - SMOOTHING) * float(loss.detach()), SMOOTHING * share)
            total = sum(mean / (1 - share) for mean, share in means.values())
            if not math.isfinite(total) or (losses and total > WORSE * min(losses)):
                break
            rates.append(rate)
            losses.append(total)
            torch.autograd.backward(parts)
            gradients = optimizer.gradients()
            norm = float(total_norm(gradients)) if gradients else 0.0
            if not math.isfinite(norm):
                break
            shorten_(gradients, norm, settings.clip)
            for group, peak in zip(optimizer.optimizer.param_groups, peaks, strict=True):
                group["lr"] = rate * peak / low
            optimizer.step()
            optimizer.clear()
    if len(losses) < 10:
        raise TrainingError(
            "train.optimizer.lr: auto found no rate, since the losses were not finite, or rose, from the first steps on; give a number, "
            "such as 0.001, and look at the data"
        )
    return chosen_from(rates, losses)


def chosen_from(rates: Sequence[float], losses: Sequence[float]) -> RateFound:
    """The rate that these losses speak for.

    >>> chosen_from([0.001, 0.01, 0.1, 1.0], [5.0, 4.0, 1.0, 9.0]).lr
    0.01
    """
    least = min(range(len(losses)), key=lambda place: losses[place])
    falls = [losses[place + 1] - losses[place] for place in range(max(least, 1))]
    steepest = min(range(len(falls)), key=lambda place: falls[place])
    return RateFound(rates[least] / 10, rates[steepest], tuple(rates), tuple(losses))
