"""What every balancing method must do, as checks that a user's own method can be put through.

`check_balancer(make)` takes a function that gives a fresh method and raises `NonconformingError` at the first thing that does not
hold, saying which. `promises.py` beside it checks what some methods promise on top. No test framework is needed.

T tasks, P shared parameters, in two layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cotrain.balance.protocol import Balancer, Combiner, Seen, Weigher
from cotrain.core.errors import CotrainError

Make = Callable[[], Balancer]


class NonconformingError(CotrainError):
    """A balancing method does not do what every method must, or breaks a promise."""


@dataclass(frozen=True)
class Step:
    """One step as an engine would show it: what is `seen`, and the gradients [T, P] behind it."""

    seen: Seen
    jacobian: Tensor

    def direction(self, balancer: Balancer) -> Tensor:
        """The combined gradient [P] that `balancer` asks for, as it gives it (no rescaling)."""
        if isinstance(balancer, Combiner):
            return balancer.combine(self.jacobian)
        weights = weights_of(balancer, self.seen)
        rows = torch.where(self.jacobian.isfinite().all(dim=1, keepdim=True), self.jacobian, 0.0)
        if weights.ndim == 1:
            return weights @ rows
        half = rows.shape[1] // 2
        return torch.cat((weights[0] @ rows[:, :half], weights[1] @ rows[:, half:]))


def weights_of(balancer: Balancer, seen: Seen) -> Tensor:
    """The weights of a Weigher, [T] or [L, T], after their shape was looked at."""
    if not isinstance(balancer, Weigher):
        raise NonconformingError(
            f"{_name(balancer)} is neither a Weigher nor a Combiner; derive it from one of the two"
        )
    weights = balancer.weigh(seen)
    if weights.shape not in ((len(seen.tasks),), (2, len(seen.tasks))):
        raise NonconformingError(
            f"{_name(balancer)}: weights of {len(seen.tasks)} tasks have shape {list(weights.shape)}; answer [T], or [L, T] by layer"
        )
    return weights


def step_from(jacobian: Tensor, losses: Tensor, tasks: Sequence[str], step: int = 0) -> Step:
    """The step whose gradients are `jacobian` [T, P]."""
    half = jacobian.shape[1] // 2
    layers = torch.stack([part @ part.mT for part in (jacobian[:, :half], jacobian[:, half:])])
    gramian = jacobian @ jacobian.mT
    seen = Seen(tuple(tasks), losses, step, gramian, layers, second_gramian=gramian, validation=losses)
    return Step(seen, jacobian)


def drawn_jacobian(generator: torch.Generator, tasks: int, parameters: int, decades: float = 0.0) -> Tensor:
    """Gradients [T, P], float64: normal, with a common part of random sign and strength, each row's length spread over `decades`."""
    rows = torch.randn(tasks, parameters, dtype=torch.float64, generator=generator)
    common = torch.randn(parameters, dtype=torch.float64, generator=generator)
    signs = torch.randn(tasks, 1, dtype=torch.float64, generator=generator).sign()
    strength = torch.rand((), dtype=torch.float64, generator=generator)
    lengths = torch.rand(tasks, 1, dtype=torch.float64, generator=generator)
    return torch.as_tensor((rows + strength * signs * common) * 10 ** (decades * lengths))


def drawn_steps(
    seed: int, task_sets: Sequence[Sequence[str]], decades: float = 0.0, parameters: int = 24
) -> list[Step]:
    """One step for each set of tasks, with losses that fall slowly."""
    generator = torch.Generator().manual_seed(seed)
    steps = []
    for index, tasks in enumerate(task_sets):
        jacobian = drawn_jacobian(generator, len(tasks), parameters, decades)
        losses = (0.5 + torch.rand(len(tasks), dtype=torch.float64, generator=generator)) / (1 + 0.1 * index)
        steps.append(step_from(jacobian, losses, tasks, index))
    return steps


def check_balancer(make: Make) -> None:
    """Every check of this file on fresh methods from `make`. Raises NonconformingError naming the first that fails."""
    for check in (
        check_description,
        check_finite,
        check_repeats,
        check_order,
        check_resume,
        check_one_task,
        check_zero_row,
        check_parallel_rows,
        check_scale,
        check_not_finite,
    ):
        check(make)


def check_description(make: Make) -> None:
    """Name, family, source and cost are given."""
    balancer = make()
    for field in ("name", "family", "source", "cost"):
        value = getattr(balancer, field, None)
        _hold(
            isinstance(value, str) and value != "",
            balancer,
            f"has no {field}; set it as a class attribute, a short text",
        )
    _hold(balancer.family in ("loss", "gradient"), balancer, f"family is '{balancer.family}'; say 'loss' or 'gradient'")


def check_finite(make: Make) -> None:
    """Finite on ordinary, uneven, opposite, dependent, tiny, huge and bfloat16 gradients, over changing sets of tasks."""
    sets = ["abcd", "ab", "dcba", "b", "abcde", "ace", "edcba"] * 2
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn_steps(1, sets, decades):
            _finite(balancer, step, f"rows over {decades:g} decades, tasks {' '.join(step.seen.tasks)}")
    row = torch.linspace(-1, 1, 8, dtype=torch.float64)
    turned = row.roll(1)
    hard = {
        "opposite rows": torch.stack((row, -row)),
        "opposite rows and a third": torch.stack((row, -row, turned)),
        "opposite rows of different length": torch.stack((row, -100 * row)),
        "parallel rows": torch.stack((row, 2 * row, 1e-3 * row)),
        "a zero row": torch.stack((row, 0 * row, turned)),
        "only zero rows": torch.stack((0 * row, 0 * row)),
        "more tasks than directions": torch.stack((row, turned, row + turned, row - turned, 2 * row - turned)),
        "a Pareto-stationary point": torch.stack((row, turned, -row - turned)),
    }
    for name, jacobian in hard.items():
        balancer, tasks = make(), "abcde"[: len(jacobian)]
        for factor in (1.0, 1e-10, 1e10):
            step = step_from(jacobian * factor, torch.linspace(0.5, 1.5, len(tasks), dtype=torch.float64), tasks)
            _finite(balancer, step, f"{name}, times {factor:g}")
    balancer = make()
    for step in drawn_steps(2, ["abcd"] * 3, 1.0):
        rounded = replace(step.seen, losses=step.seen.losses.bfloat16(), gramian=_halved(step.seen.gramian))
        _finite(balancer, Step(rounded, step.jacobian.bfloat16().double()), "a Gramian that came through bfloat16")


def check_repeats(make: Make) -> None:
    """Two fresh methods shown the same steps answer the same, bit for bit."""
    first, second = make(), make()
    for step in drawn_steps(3, ["abc", "cb", "abcd", "abcd"]):
        same = torch.equal(step.direction(first), step.direction(second))
        _hold(same, first, "gives two answers to the same steps; draw from a generator with a seed setting")


def check_order(make: Make) -> None:
    """The tasks' order does not matter."""
    first, second = make(), make()
    if isinstance(first, Combiner):
        return  # rows carry no names; a draw may differ with their order
    for step in drawn_steps(4, ["abcde"] * 4, 1.0):
        order = [3, 0, 4, 1, 2]
        tasks = [step.seen.tasks[place] for place in order]
        turned = step_from(step.jacobian[order], step.seen.losses[order], tasks, step.seen.step)
        one, other = step.direction(first), turned.direction(second)
        _close(one, other, 1e-7, first, "depends on the order of the tasks; keep state by task name")


def check_resume(make: Make) -> None:
    """A state loaded into a fresh method in the middle of training continues bit for bit, and holds plain values only."""
    whole, before = make(), make()
    steps = drawn_steps(5, ["abc", "ab", "abcd", "dcb", "abcd", "ca", "abcde", "abc"])
    for step in steps[:4]:
        step.direction(whole)
        step.direction(before)
    state = before.state_dict()
    _plain(state, whole, "state_dict")
    after = make()
    after.load_state_dict(state)
    for step in steps[4:]:
        same = torch.equal(step.direction(whole), step.direction(after))
        _hold(
            same,
            whole,
            "does not continue from its state_dict as if uninterrupted; keep everything learnt or drawn in it",
        )


def check_one_task(make: Make) -> None:
    """One task alone moves along its own gradient."""
    balancer = make()
    for step in drawn_steps(6, ["a"] * 4):
        direction, row = step.direction(balancer), step.jacobian[0]
        cosine = float(direction @ row / (direction.norm() * row.norm()))
        _hold(cosine > 1 - 1e-9, balancer, f"with one task leaves that task's own direction (cosine {cosine:.6f})")


def check_zero_row(make: Make) -> None:
    """A gradient of exactly zero changes nothing for the others in a gradient method."""
    balancer, without = make(), make()
    if balancer.family != "gradient" or isinstance(balancer, Combiner):
        return
    (step,) = drawn_steps(7, ["abc"])
    rows = torch.cat((step.jacobian, torch.zeros_like(step.jacobian[:1])))
    losses = torch.cat((step.seen.losses, step.seen.losses.new_tensor([0.1])))
    one = step_from(rows, losses, "abcz").direction(balancer)
    _close(one, step.direction(without), 1e-9, balancer, "lets a task without a gradient change the others' direction")


def check_parallel_rows(make: Make) -> None:
    """Where all gradients agree, so does the answer."""
    balancer = make()
    row = torch.linspace(-1, 2, 8, dtype=torch.float64)
    step = step_from(torch.stack((row, 3 * row, 0.1 * row)), torch.ones(3, dtype=torch.float64), "abc")
    direction = step.direction(balancer)
    cosine = float(direction @ row / (direction.norm() * row.norm()))
    _hold(cosine > 1 - 1e-6, balancer, f"leaves the common direction of parallel gradients (cosine {cosine:.6f})")


def check_scale(make: Make) -> None:
    """The direction is the same when all gradients are multiplied by 1e-10 or 1e10 (Gramians from 1e-20 to 1e20)."""
    for factor in (1e-10, 1e10):
        one, other = make(), make()
        for step in drawn_steps(8, ["abcd"] * 3, 1.0):
            scaled = step_from(step.jacobian * factor, step.seen.losses, step.seen.tasks, step.seen.step)
            ordinary, changed = step.direction(one), scaled.direction(other)
            changed = changed * (ordinary.norm() / changed.norm())
            _close(ordinary, changed, 1e-6, one, f"changes direction when all gradients are multiplied by {factor:g}")


def check_not_finite(make: Make) -> None:
    """A NaN or infinite gradient or loss is left out and said; it is not raised, and it does not spoil the others."""
    for bad in (float("nan"), float("inf")):
        balancer = make()
        (step,) = drawn_steps(9, ["abc"])
        rows = step.jacobian.clone()
        rows[1, 3] = bad
        broken = step_from(rows, step.seen.losses, "abc")
        if isinstance(balancer, Weigher) and balancer.needs == frozenset({"losses"}):
            losses = step.seen.losses.clone()
            losses[1] = bad
            broken = step_from(step.jacobian, losses, "abc")
        _finite(balancer, broken, f"one task at {bad}")
        if isinstance(balancer, Weigher):
            weights = weights_of(make(), broken.seen)
            _hold(
                bool((weights[..., 1] == 0).all()), balancer, f"gives weight to a task at {bad}; its weight must be 0"
            )
        _hold(balancer.notes() != [], balancer, f"does not say in notes() that a task at {bad} was left out")


def _finite(balancer: Balancer, step: Step, when: str) -> None:
    direction = step.direction(balancer)
    _hold(bool(direction.isfinite().all()), balancer, f"gives an answer that is not finite: {when}")


def _close(one: Tensor, other: Tensor, tolerance: float, balancer: Balancer, what: str) -> None:
    gap = float((one - other).norm() / one.norm())
    _hold(gap <= tolerance, balancer, f"{what} (relative change {gap:.1e}, allowed {tolerance:.0e})")


def _hold(holds: bool, balancer: Balancer, what: str) -> None:
    if not holds:
        raise NonconformingError(f"{_name(balancer)} {what}")


def _plain(value: Any, balancer: Balancer, where: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _hold(
                isinstance(key, str), balancer, f"keeps a key of type {type(key).__name__} in {where}; keys are strings"
            )
            _plain(inner, balancer, f"{where}['{key}']")
    elif isinstance(value, list):
        for inner in value:
            _plain(inner, balancer, f"{where}[...]")
    else:
        plain = value is None or isinstance(value, Tensor | str | int | float | bool)
        _hold(
            plain,
            balancer,
            f"keeps a {type(value).__name__} in {where}; keep tensors, numbers, strings, dicts and lists",
        )


def _halved(gramian: Tensor | None) -> Tensor | None:
    return None if gramian is None else gramian.bfloat16()


def _name(balancer: Balancer) -> str:
    return type(balancer).__name__
