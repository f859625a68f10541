"""Which tasks belong together: the best partition, by brute force over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from cotrain.core.errors import ConfigError
from cotrain.search import grouping
from cotrain.search.grouping import Objective, grouped


def partitions(tasks: list[str]) -> Iterator[list[list[str]]]:
    """Every partition of a list."""
    if not tasks:
        yield []
        return
    first, *rest = tasks
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for at in range(len(smaller)):
            yield [*smaller[:at], [first, *smaller[at]], *smaller[at + 1 :]]


def drawn(count: int, seed: int) -> tuple[list[str], list[list[float]]]:
    return [f"t{k}" for k in range(count)], np.random.default_rng(seed).normal(0, 1, (count, count)).tolist()


def worth(
    tasks: list[str], matrix: list[list[float]], groups: Iterable[Iterable[str]], margin: float, how: str
) -> float:
    """The formula, pair by pair."""
    total = 0.0
    for names in groups:
        group = [tasks.index(name) for name in names]
        for j in group:
            others = [matrix[i][j] - margin for i in group if i != j]
            total += sum(others) / (len(others) if how == "mean" and others else 1)
    return total


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("most", [None, 1, 2, 3])
@pytest.mark.parametrize("how", ["sum", "mean"])
def test_no_partition_is_worth_more_than_the_one_found(seed: int, most: int | None, how: Objective) -> None:
    tasks, matrix = drawn(6, seed)
    found = grouped(tasks, matrix, most=most, margin=0.1, objective=how)
    best = max(
        worth(tasks, matrix, groups, 0.1, how) for groups in partitions(tasks) if most is None or len(groups) <= most
    )
    assert found.exact
    assert len(found.groups) <= (most or 6)
    assert sorted(task for group in found.groups for task in group) == tasks
    assert worth(tasks, matrix, found.groups, 0.1, how) == pytest.approx(best)


def test_the_sum_keeps_a_task_that_is_helped_a_little_and_the_mean_leaves_it_out() -> None:
    kin = [[0, 0.12, 0.34], [0.12, 0, 0.08], [0.34, 0.08, 0]]
    assert grouped(["a", "b", "c"], kin, margin=0.05).groups == (("a", "b", "c"),)
    assert grouped(["a", "b", "c"], kin, margin=0.05, objective="mean").groups == (("a", "c"), ("b",))


def test_two_clusters_are_found_and_strangers_stay_apart() -> None:
    tasks = ["a1", "b1", "a2", "b2", "c", "a3", "b3"]
    kin = [[0.3 if one[0] == other[0] else -0.01 for other in tasks] for one in tasks]
    found = grouped(tasks, kin)
    assert set(map(frozenset, found.groups)) == {
        frozenset(["a1", "a2", "a3"]),
        frozenset(["b1", "b2", "b3"]),
        frozenset(["c"]),
    }
    assert found.values["c"] == 0
    assert found.together == (("a1", "a2", "a3"), ("b1", "b2", "b3"))


def test_what_helps_less_than_the_margin_is_not_worth_sharing() -> None:
    assert grouped(["a", "b"], [[0, 0.02], [0.02, 0]], margin=0.05).groups == (("a",), ("b",))
    assert grouped(["a", "b"], [[0, 0.02], [0.02, 0]], margin=0.01).groups == (("a", "b"),)


def test_a_task_that_harms_one_and_helps_another_is_weighed_as_a_whole() -> None:
    found = grouped(["a", "b"], [[0, 0.5], [-0.2, 0]])
    assert found.groups == (("a", "b"),)
    assert found.values == {"a": -0.2, "b": 0.5}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [None, 2])
def test_many_tasks_come_close_to_the_best(monkeypatch: pytest.MonkeyPatch, seed: int, most: int | None) -> None:
    tasks, matrix = drawn(7, seed)
    best = worth(tasks, matrix, grouped(tasks, matrix, most=most).groups, 0.0, "sum")
    monkeypatch.setattr(grouping, "EXACT", 3)
    near = grouped(tasks, matrix, most=most)
    assert not near.exact
    assert len(near.groups) <= (most or 7)
    assert sorted(task for group in near.groups for task in group) == tasks
    reached = worth(tasks, matrix, near.groups, 0.0, "sum")
    assert reached <= best + 1e-9
    assert reached >= worth(tasks, matrix, [tasks], 0.0, "sum")
    assert most or reached >= 0.7 * best


def test_a_dozen_tasks_are_weighed_exactly() -> None:
    tasks = [f"t{k}" for k in range(12)]
    kin = [[0.2 if a % 3 == b % 3 else -0.1 for a in range(12)] for b in range(12)]
    found = grouped(tasks, kin)
    assert found.exact
    assert {len(group) for group in found.groups} == {4}


@pytest.mark.parametrize(
    ("matrix", "most", "what"),
    [([[0.0]], None, "square"), ([[0, float("nan")], [0, 0]], None, "finite"), ([[0, 1], [1, 0]], 0, "at least one")],
)
def test_what_is_no_affinity_is_refused(matrix: list[list[float]], most: int | None, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        grouped(["a", "b"], matrix, most=most)
