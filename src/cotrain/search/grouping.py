"""Which tasks belong together: a partition of the tasks, from how much each helps each.

    sum:    worth of a group S = sum over i, j in S, i != j, of (A_ij - margin)              0 for a task alone
    mean:   worth of a group S = sum over j in S of (mean over i in S, i != j, of A_ij - margin)
    worth of a partition       = sum over its groups

A_ij is what task i does for task j (a mean gradient cosine, an affinity). `sum` keeps a task that is helped a little in a group that helps
others more; `mean` is the rule of the source, which would rather have the few that help each other most. Every partition into at most b groups is weighed: exactly, by
dynamic programming over the sets of tasks, up to `EXACT` of them, beyond that by merging and moving from several beginnings.

Source: C. Fifty et al., Efficiently Identifying Task Groupings for Multi-Task Learning, NeurIPS 2021, section 3.2 (there by branch and
bound, and groups may overlap; here a task is trained in one group). `sum` is correlation clustering: N. Bansal, A. Blum & S. Chawla,
Correlation Clustering, Machine Learning 56, 2004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cotrain.core.errors import ConfigError

EXACT = 16
"""Up to so many tasks the best partition is found for sure: 3^16 sets within sets take some seconds."""

TIE = 1e-9
"""What a group more must bring: of equal partitions the one with fewer networks is taken."""

Objective = Literal["sum", "mean"]
Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Grouping:
    """A partition of the tasks. values: {task: mean of what the others of its group do for it, 0 where it is alone}.

    exact: no other partition is worth more.
    """

    groups: Groups
    values: Mapping[str, float]
    exact: bool

    @property
    def together(self) -> Groups:
        """The groups of two and more."""
        return tuple(group for group in self.groups if len(group) > 1)


def grouped(
    tasks: Sequence[str],
    affinity: Sequence[Sequence[float]],
    *,
    most: int | None = None,
    margin: float = 0.0,
    objective: Objective = "sum",
) -> Grouping:
    """The partition of the greatest worth into at most `most` groups; of equal ones one with few groups.

    affinity: [T][T], row i: what task i does for every other; the diagonal is not looked at. margin: what sharing must bring a task to be
    worth it, in the affinity's own unit. Raises ConfigError for a matrix of another shape, a number that is not finite, most < 1.

    >>> one = grouped(["a", "b", "c"], [[0, 0.5, -0.2], [0.4, 0, 0.1], [-0.2, -0.3, 0]])
    >>> one.groups, one.values["b"]
    ((('a', 'b'), ('c',)), 0.5)
    """
    matrix = _checked(tasks, affinity)
    if most is not None and most < 1:
        raise ConfigError(f"at least one group is expected, got most={most}; leave it out for as many as are best")
    limit = min(len(tasks), most or len(tasks))
    exact = len(tasks) <= EXACT
    worth = Worth(matrix, margin, objective)
    found = _best(worth, limit) if exact else _searched(worth, limit)
    ordered = sorted((tuple(sorted(group)) for group in found), key=lambda group: group[0])
    values = {tasks[j]: worth.for_task(j, group) for group in ordered for j in group}
    return Grouping(tuple(tuple(tasks[j] for j in group) for group in ordered), values, exact)


def _checked(tasks: Sequence[str], affinity: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    matrix = np.array(affinity, dtype=np.float64)
    if not len(tasks) or matrix.shape != (len(tasks), len(tasks)):
        raise ConfigError(
            f"an affinity of {len(tasks)} tasks is a square of as many numbers a side, got shape {matrix.shape}; give one row a task"
        )
    np.fill_diagonal(matrix, 0.0)
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0].tolist()
        raise ConfigError(
            f"affinities must be finite, got {matrix[i, j]} of '{tasks[i]}' for '{tasks[j]}'; were both met in one step?"
        )
    return matrix


@dataclass(frozen=True)
class Worth:
    """What a group is worth. matrix: [T, T] with a diagonal of 0."""

    matrix: NDArray[np.float64]
    margin: float
    objective: Objective

    def for_task(self, task: int, group: Sequence[int]) -> float:
        """The mean of what the others of the group do for a task."""
        others = [other for other in group if other != task]
        return float(self.matrix[others, task].mean()) if others else 0.0

    def __call__(self, group: Sequence[int]) -> float:
        """Of one group."""
        size = len(group)
        if size < 2:
            return 0.0
        pairs = float(self.matrix[np.ix_(group, group)].sum())
        return (
            pairs - self.margin * size * (size - 1)
            if self.objective == "sum"
            else pairs / (size - 1) - self.margin * size
        )

    def of_sets(self) -> NDArray[np.float64]:
        """[2^T] of every set of tasks, a task a bit."""
        both = self.matrix + self.matrix.T
        pairs, sizes = np.zeros(1), np.zeros(1)
        for task in range(len(self.matrix)):
            towards = np.zeros(1)
            for other in range(task):
                towards = np.concatenate([towards, towards + both[task, other]])
            pairs, sizes = np.concatenate([pairs, pairs + towards]), np.concatenate([sizes, sizes + 1])
        if self.objective == "sum":
            return pairs - self.margin * sizes * (sizes - 1)
        return np.where(sizes > 1, pairs / np.maximum(sizes - 1, 1) - self.margin * sizes, 0.0)


def _best(worth: Worth, limit: int) -> list[list[int]]:
    """The best partition into at most `limit` groups: best[g][set] = max over its parts that hold its last task."""
    count = len(worth.matrix)
    value = worth.of_sets() - TIE
    free = limit == count
    layers = 1 if free else limit
    best = np.full((layers + 1, 1 << count), -np.inf)
    best[:, 0] = 0.0
    part = np.zeros((layers + 1, 1 << count), dtype=np.int64)
    earlier = np.ones(1, dtype=np.int64) if free else np.arange(layers)
    for whole in range(1, 1 << count):
        top = 1 << (whole.bit_length() - 1)
        rest = whole ^ top
        inside = np.zeros(1, dtype=np.int64)
        while rest:
            low = rest & -rest
            inside = np.concatenate([inside, inside | low])
            rest ^= low
        sets = inside | top
        candidates = value[sets] + best[earlier][:, whole ^ sets]
        at = candidates.argmax(1)
        best[1:, whole] = candidates[np.arange(layers), at]
        part[1:, whole] = sets[at]
    groups, left, layer = [], (1 << count) - 1, layers
    while left:
        chosen = int(part[layer, left])
        groups.append([task for task in range(count) if chosen >> task & 1])
        left ^= chosen
        layer -= not free
    return groups


def _searched(worth: Worth, limit: int) -> list[list[int]]:
    """A good partition of many tasks: merge the pair of groups that gains most, then move single tasks while that gains."""
    groups = [[task] for task in range(len(worth.matrix))]
    while len(groups) > 1:
        gains = {
            (a, b): worth(groups[a] + groups[b]) - worth(groups[a]) - worth(groups[b])
            for a in range(len(groups))
            for b in range(a)
        }
        (a, b), gain = max(gains.items(), key=lambda one: one[1])
        if gain < -TIE and len(groups) <= limit:
            break
        groups[b] = groups[b] + groups.pop(a)
    moved = True
    while moved:
        moved = _moved(worth, groups, limit)
    return [group for group in groups if group]


def _moved(worth: Worth, groups: list[list[int]], limit: int) -> bool:
    """Move the first task that is better off elsewhere, the partition as a whole counted; whether there was one."""
    for task in range(len(worth.matrix)):
        home = next(group for group in groups if task in group)
        without = [other for other in home if other != task]
        places = [group for group in groups if group is not home]
        if len(home) > 1 and sum(map(bool, groups)) < limit:
            places.append([])
        loss = worth(home) - worth(without)
        for place in places:
            if worth([*place, task]) - worth(place) > loss + 1e-12:
                home.remove(task)
                place.append(task)
                if not any(place is group for group in groups):
                    groups.append(place)
                return True
    return False
