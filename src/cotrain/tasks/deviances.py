"""Scores of predicted amounts: deviances and the share explained, errors in units, and whether the sum is right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cotrain.core.fields import Field
from cotrain.losses.log_link import amounts
from cotrain.losses.tweedie_deviance import unit_deviance
from cotrain.tasks.reweighted import Reweighted, of_mean
from cotrain.tasks.scores import Array, held_rows, higher_is_better

NAMES = ("d2", "deviance", "rmse", "mae", "rmsle")


@dataclass(frozen=True)
class AmountMetrics:
    """Scores of outputs [N, 1] against (y, base) [N, 2], with mu = base exp(output), in the target's units.

    deviance: mean Tweedie deviance of this power (Poisson's for 1, gamma's for 2). d2: 1 - deviance / deviance of the best constant
    (rate) on the scored rows, as scikit-learn's d2_tweedie_score. rmse, mae: of mu. rmsle: of log(1 + mu) against log(1 + y).
    mean_ratio: mean mu / mean y, 1 where the sum is right; shown beside, and never the primary metric.
    Without a label, or with an output that is NaN, all are NaN; d2 is where all amounts are alike.
    """

    primary: str = "d2"
    power: float = 1.0

    def score(self, output: Tensor, target: Field, weight: Tensor | None) -> dict[str, float]:
        guess, truth, weights = held_rows(output, target, weight)
        if not len(truth) or not np.isfinite(guess).all():
            return dict.fromkeys((*NAMES, "mean_ratio"), math.nan)
        found = {name: float(self._of(name, guess, truth)(weights[None])[0]) for name in NAMES}
        found["d2"] = 1 - found["d2"]
        y, mu = _parts(guess, truth)
        total = float(weights @ y)
        return found | {"mean_ratio": float(weights @ mu) / total if total else math.nan}

    def reweighted(self, output: Array, target: Array) -> Reweighted | None:
        """The primary error under many weightings of these rows."""
        return self._of(self.primary, output, target)

    def _of(self, name: str, output: Array, target: Array) -> Reweighted:
        y, mu = _parts(output, target)
        if name == "rmsle":
            return of_mean((np.log1p(mu) - np.log1p(y)) ** 2, root=True)
        if name in ("rmse", "mae"):
            return of_mean((mu - y) ** 2, root=True) if name == "rmse" else of_mean(np.abs(mu - y))
        deviance = unit_deviance(torch.from_numpy(y), torch.from_numpy(np.log(mu)), self.power).numpy()
        base = target.reshape(len(target), -1)[:, 1:].reshape(-1)
        return of_mean(deviance) if name == "deviance" else of_d2(deviance, y, base if len(base) else None, self.power)

    def higher_is_better(self, metric: str) -> bool:
        return higher_is_better(metric)


def _parts(output: Array, target: Array) -> tuple[Array, Array]:
    y, log_mu = amounts(torch.from_numpy(output), Field.dense(torch.from_numpy(target)))
    return y.numpy(), log_mu.exp().numpy()


def of_d2(deviance: Array, y: Array, base: Array | None, power: float) -> Reweighted:
    """sum w d(y, mu) / sum w d(y, best constant): 1 - D2, with deviance [N] the elements d_p(y, mu).

    The constant is r x base with r = sum w y / sum w base (base 1 if None; for power above 1 it must be the same in every row), so that the null deviance is
    2 (sum w y log(y / base) - Y log r) for p = 1, 2 (W log r - sum w log(y / base)) for p = 2, and else
    2 (sum w y^(2-p) - W (Y/W)^(2-p)) / ((1-p) (2-p)), with Y = sum w y, W = sum w.
    """
    share = y / (np.ones_like(y) if base is None else base)
    size = np.ones_like(y) if base is None else base
    some = np.log(np.where(share > 0, share, 1.0))

    def errors(weights: Array) -> Array:
        held, total = weights.sum(1), weights @ y
        with np.errstate(divide="ignore", invalid="ignore"):
            if power == 1:
                null = 2 * (weights @ (y * some) - np.where(total > 0, total * np.log(total / (weights @ size)), 0.0))
            elif power == 2:
                null = 2 * (held * np.log(total / (weights @ size)) - weights @ some)
            else:
                mean = held * (total / held) ** (2 - power)
                null = 2 * (weights @ y ** (2 - power) - mean) / ((1 - power) * (2 - power))
        wrong: Array = np.divide(
            weights @ deviance, null, out=np.full(len(weights), np.nan), where=null > 1e-12 * np.maximum(total, 1e-300)
        )
        return wrong

    return errors
