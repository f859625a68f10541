"""Scores of predicted survival under right censoring: Harrell's concordance, the integrated Brier score. N rows, T times."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 512
"""Rows that are compared one by one before they join the sorted ones: N rows cost N x BLOCK comparisons and N / BLOCK merges."""

TIMES = 100
"""The Brier score is integrated over so many equal steps."""


def concordance(time: Array, event: Array, predicted: Array, weight: Array | None = None) -> float:
    """Harrell's index: the share of comparable pairs whose predicted times stand in the right order, ties of these counting half.

    A pair is comparable where the earlier of the two met the event (event 1), or where both times are equal and just one of them met it: the
    other lived longer. Pairs of rows count w_i w_j. NaN where there is no such pair. time, event, predicted, weight: [N].

    Source: F. E. Harrell et al., Evaluating the yield of medical tests, JAMA 247, 1982; ties as in lifelines.

    >>> concordance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 0.0]), np.array([1.0, 3.0, 2.0]))
    0.6666666666666666
    """
    weights = np.ones(len(time)) if weight is None else weight
    order = np.lexsort((event > 0.5, -time))  # latest first; of equal times the censored first
    t, met, p, w = time[order], event[order] > 0.5, predicted[order], weights[order]
    place = np.arange(len(t))
    first = met & np.r_[True, (t[1:] != t[:-1]) | ~met[:-1]][: len(t)]
    asking = place[met]
    reach = np.maximum.accumulate(np.where(first, place, 0))[met]  # rows before this one lived longer
    ranked, heavy = np.zeros(0), np.zeros(0)
    right = pairs = 0.0
    for begin in range(0, len(t), BLOCK):
        some = slice(*np.searchsorted(reach, [begin, begin + BLOCK]))
        rows, upto = asking[some], reach[some]
        near = slice(begin, begin + BLOCK)
        among = np.where(place[near] < upto[:, None], w[near], 0.0)
        below = np.r_[0.0, heavy.cumsum()]
        left, after = (np.searchsorted(ranked, p[rows], side=side) for side in ("left", "right"))
        longer = below[-1] - below[after] + 0.5 * (below[after] - below[left])
        longer += (among * ((p[near] > p[rows, None]) + 0.5 * (p[near] == p[rows, None]))).sum(1)
        right += float(w[rows] @ longer)
        pairs += float(w[rows] @ (below[-1] + among.sum(1)))
        fresh = np.argsort(p[near], kind="stable")
        spots = np.searchsorted(ranked, p[near][fresh])
        ranked, heavy = np.insert(ranked, spots, p[near][fresh]), np.insert(heavy, spots, w[near][fresh])
    return right / pairs if pairs > 0 else math.nan


def censoring_curve(time: Array, event: Array, weight: Array) -> tuple[Array, Array]:
    """(times [U], G [U]): the Kaplan-Meier estimate of not yet being lost from sight after each distinct time; of equal times events come first.

    >>> censoring_curve(np.array([1.0, 2.0, 2.0]), np.array([0.0, 1.0, 0.0]), np.ones(3))[1].tolist()
    [0.6666666666666667, 0.0]
    """
    times, which = np.unique(time, return_inverse=True)
    met = np.bincount(which, weight * (event > 0.5), len(times))
    lost = np.bincount(which, weight * (event <= 0.5), len(times))
    there = (met + lost)[::-1].cumsum()[::-1] - met
    share = np.divide(lost, there, out=np.zeros(len(times)), where=there > 0)
    return times, np.cumprod(1 - np.clip(share, 0.0, 1.0))


def integrated_brier(
    time: Array, event: Array, survival: Callable[[Array], Array], weight: Array, last: float = math.inf
) -> float:
    """The mean over [0, tau] of the Brier score under inverse-probability-of-censoring weights; 0 is perfect.

    BS(t) = sum_i w_i [1(T_i <= t, event) S_i(t)^2 / G(T_i-) + 1(T_i > t) (1 - S_i(t))^2 / G(t)] / sum_i w_i, with G the censoring curve of the
    scored rows themselves, and tau the last event time, at most `last` (beyond which no curve says anything). Integrated by trapezoids over 100 equal
    steps. survival: times [T] -> S [N, T]. NaN without an event after time 0.

    Source: E. Graf et al., Assessment and comparison of prognostic classification schemes for survival data, Statistics in Medicine 18, 1999.
    """
    met = (event > 0.5) & (weight > 0)
    end = min(float(time[met].max(initial=0.0)), last)
    if not end > 0:
        return math.nan
    grid = np.linspace(0.0, end, TIMES + 1)
    times, curve = censoring_curve(time, event, weight)
    whole = np.r_[1.0, curve]
    before = whole[np.searchsorted(times, time, side="left")]
    now = whole[np.searchsorted(times, grid, side="right")]
    chance = survival(grid)
    died = met[:, None] & (time[:, None] <= grid)
    alive = time[:, None] > grid
    safe = np.where(before > 0, before, 1.0)[:, None]
    each = np.where(died, chance**2 / safe, 0.0) + np.where(alive, (1 - chance) ** 2 / np.where(now > 0, now, 1.0), 0.0)
    score = weight @ each / weight.sum()
    return float(np.trapezoid(score, grid) / end)
