"""Did sharing help? Gains against single-task networks, paired by seed and test row, with an interval over both.

    ratio = mean_s error_joint,s / mean_s error_single,s       primary errors on the same test rows, S seeds s
    gain  = 1 - ratio
    se^2  = var_s(a_s - b_s) / S  +  var_rows(log ratio)       a_s, b_s: each error over its own mean over seeds

Both terms are variances of log ratio: the first by seeds (to first order), the second by a bootstrap over test rows in which every
variant and seed meets the same resampled rows (whole groups of rows, where the split keeps groups together). The interval is 1 - ratio exp(+- t(0.975, df) se): it never passes 100 %, and a halved
error lies as far from none as a doubled one. df by Welch and Satterthwaite: (u + v)^2 / (u^2 / (S - 1)) for u, v the two terms.
Noise that belongs to a seed and a row together is in both terms: the interval is then too wide, never too narrow.

Source: B. L. Welch, Biometrika 34, 1947 (degrees of freedom); B. Efron, Annals of Statistics 7, 1979 (bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SEEDS_FOR_A_VERDICT = 5
REPLICATES = 400


@dataclass(frozen=True)
class Gain:
    """Relative reduction of the primary error, and its 95 % interval (NaN where there is only one seed, or no error on one side)."""

    value: float
    low: float
    high: float
    per_seed: tuple[float, ...]

    @property
    def helped(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    @property
    def harmed(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0


def row_weights(
    rows: int,
    generator: np.random.Generator,
    replicates: int = REPLICATES,
    *,
    groups: NDArray[np.int64] | None = None,
) -> Array:
    """[R, rows] how often each test row is drawn in each bootstrap replicate.

    groups: [rows] which group each row belongs to (patients, users ...). Rows of one group are alike, so groups are drawn whole.

    >>> drawn = row_weights(3, np.random.default_rng(0), groups=np.array([7, 7, 9]))
    >>> bool((drawn[:, 0] == drawn[:, 1]).all()), set((drawn[:, 0] + drawn[:, 2]).tolist())
    (True, {2.0})
    """
    _, index = np.unique(np.arange(rows) if groups is None else groups, return_inverse=True)
    count = int(index.max(initial=-1)) + 1
    drawn = generator.multinomial(count, np.full(count, 1.0 / max(count, 1)), size=replicates).astype(np.float64)
    return np.asarray(drawn[:, index])


def gain(
    joint: Sequence[float], single: Sequence[float], joint_rows: Sequence[Array], single_rows: Sequence[Array]
) -> Gain:
    """The gain of one variant on one task.

    joint, single: [S] primary errors per seed. joint_rows, single_rows: S arrays [R], the same errors under R resamplings of the rows.
    No error on either side is no gain; an error beside none is minus infinity. Where one side has no error at all there is no interval.
    Resamplings under which an error cannot be told (one class only ...) are left out; where series differ in length the shorter counts.

    >>> rows = [np.array([0.2, 0.2])] * 2
    >>> gain([0.1, 0.1], [0.2, 0.2], [np.array([0.1, 0.1])] * 2, rows)
    Gain(value=0.5, low=0.5, high=0.5, per_seed=(0.5, 0.5))
    """
    a, b = np.array(joint, dtype=np.float64), np.array(single, dtype=np.float64)
    per_seed = tuple(_relative(one, other) for one, other in zip(joint, single, strict=True))
    value = _relative(float(a.mean()), float(b.mean()))
    if value == 0 and not a.any() and not b.any():
        return Gain(0.0, 0.0, 0.0, per_seed)
    if len(a) < 2 or not 0 < a.mean() < math.inf or not 0 < b.mean() < math.inf:
        return Gain(value, math.nan, math.nan, per_seed)
    seeds = float((a / a.mean() - b / b.mean()).var(ddof=1)) / len(a)
    length = min(len(rows) for rows in (*joint_rows, *single_rows))
    above, below = (np.stack([rows[:length] for rows in side]).mean(0) for side in (joint_rows, single_rows))
    told = np.isfinite(above) & np.isfinite(below) & (above > 0) & (below > 0)
    rows = float(np.log(above[told] / below[told]).var(ddof=1)) if told.sum() > 1 else 0.0
    half = half_width(seeds, rows, len(a))
    return Gain(value, 1 - (1 - value) * math.exp(half), 1 - (1 - value) * math.exp(-half), per_seed)


def half_width(seeds: float, rows: float, count: int) -> float:
    """t(0.975, df) sqrt(seeds + rows): half the 95 % interval for the two variances and the number of seeds."""
    from scipy import stats

    total = seeds + rows
    if not total > 0:
        return 0.0 if total == 0 else math.nan
    freedom = total**2 * (count - 1) / seeds**2 if seeds > 0 else math.inf
    quantile = 1.959963984540054 if freedom > 1e6 else float(stats.t.ppf(0.975, freedom))
    return quantile * math.sqrt(total)


def _relative(joint: float, single: float) -> float:
    if single == 0:
        return 0.0 if joint == 0 else -math.inf
    return 1.0 - joint / single


def delta_m(joint: Mapping[str, float], single: Mapping[str, float], higher: Mapping[str, bool]) -> float:
    """Delta_m of the literature, in per cent, higher is better: 100 / T sum_k s_k (M_joint - M_single) / |M_single|.

    s_k is +1 where a higher metric is better and -1 where not. Some papers print its negative. Tasks whose single-task metric is 0
    are left out; NaN where none is left.

    Source: K.-K. Maninis et al., Attentive Single-Tasking of Multiple Tasks, CVPR 2019.

    >>> round(delta_m({"income": 0.9, "age": 11.0}, {"income": 0.8, "age": 10.0}, {"income": True, "age": False}), 6)
    1.25
    """
    terms = [
        (1.0 if higher[task] else -1.0) * (joint[task] - single[task]) / abs(single[task])
        for task in joint
        if single[task] != 0
    ]
    return 100.0 * float(np.mean(terms)) if terms else math.nan


def verdict(variant: str, gains: Mapping[str, Gain], seeds: int, beaten_by_constant: Sequence[str]) -> str:
    """One sentence that answers the question, and claims nothing its intervals do not hold.

    gains: {task: gain of this variant}. beaten_by_constant: tasks on which neither joint nor single beat the best constant prediction.
    """
    warning = ""
    if beaten_by_constant:
        which = "any task" if len(beaten_by_constant) == len(gains) else _listed(beaten_by_constant)
        warning = f"No network beats the best constant prediction on {which}: what was learnt does not carry over to the test rows. "
    unknown = [task for task, one in gains.items() if not math.isfinite(one.value)]
    if unknown:
        warning += f"On {_listed(unknown)} nothing can be said: the single-task error is zero or cannot be told on these test rows. "
        gains = {task: one for task, one in gains.items() if task not in unknown}
        if not gains:
            return warning.strip()
    if seeds < SEEDS_FOR_A_VERDICT:
        return f"{warning}Too few seeds for a verdict ({seeds} of {SEEDS_FOR_A_VERDICT}): {_means(variant, gains)}."
    helped = [task for task, one in gains.items() if one.helped]
    harmed = [task for task, one in gains.items() if one.harmed]
    if helped and not harmed:
        rest = "" if len(helped) == len(gains) else "; on the others the difference is within the noise"
        return f"{warning}Sharing helped on {_listed(helped)}{rest}: {_means(variant, gains)}."
    if harmed and not helped:
        rest = "" if len(harmed) == len(gains) else "; on the others the difference is within the noise"
        return f"{warning}Sharing harmed {_listed(harmed)}{rest}: {_means(variant, gains)}."
    if helped and harmed:
        return f"{warning}Sharing helped on {_listed(helped)} and harmed {_listed(harmed)}: {_means(variant, gains)}."
    return f"{warning}Sharing made no difference beyond the noise: {_means(variant, gains)}."


def _means(variant: str, gains: Mapping[str, Gain]) -> str:
    parts = []
    for task, one in gains.items():
        interval = "" if math.isnan(one.low) else f" ({100 * one.low:+.1f} to {100 * one.high:+.1f})"
        parts.append(f"{task} {100 * one.value:+.1f} %{interval}")
    return f"{variant} against single-task, reduction of the error: " + ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
