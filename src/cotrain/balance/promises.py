"""What some balancing methods promise, as checks with their tolerance.

Each takes a function that gives a fresh method and raises `NonconformingError` where the promise is broken on drawn gradients.
Row lengths are spread over 0, 2 and 4 decades.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from cotrain.balance.conformance import Make, NonconformingError, Step, drawn_jacobian, step_from, weights_of
from cotrain.balance.protocol import Balancer

HARMLESS = 1e-6
"""A task counts as harmed where <g_k, d> < -1e-6 |g_k| |d|."""


def drawn(draws: int, decades: float, seed: int, largest: int = 12) -> Iterator[Step]:
    """`draws` steps with 2 to `largest` tasks and at least as many parameters as tasks."""
    generator = torch.Generator().manual_seed(seed)
    for index in range(draws):
        tasks = int(torch.randint(2, largest + 1, (), generator=generator))
        parameters = int(torch.randint(tasks, 4 * tasks + 1, (), generator=generator))
        jacobian = drawn_jacobian(generator, tasks, parameters, decades)
        losses = 0.5 + torch.rand(tasks, dtype=torch.float64, generator=generator)
        yield step_from(jacobian, losses, [f"t{task:02d}" for task in range(tasks)], index)


def harm(step: Step, balancer: Balancer) -> float:
    """The most negative <g_k, d> / (|g_k| |d|), as a number >= 0; 0 where no task is harmed or d is zero."""
    direction = step.direction(balancer)
    products = step.jacobian @ direction / (step.jacobian.norm(dim=1) * direction.norm())
    return max(0.0, -float(products.min())) if float(direction.norm()) > 0 else 0.0


def check_harmless(make: Make, draws: int = 100) -> None:
    """No task's gradient is opposed: <g_k, d> >= -1e-6 |g_k| |d|."""
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn(draws, decades, 11):
            found = harm(step, balancer)
            _hold(
                found <= HARMLESS, balancer, f"harms a task by a cosine of {found:.1e} (rows over {decades:g} decades)"
            )


def check_simplex(make: Make, draws: int = 50) -> None:
    """Weights are non-negative and sum to one."""
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn(draws, decades, 12):
            weights = weights_of(balancer, step.seen)
            on = float(weights.min()) >= 0 and abs(float(weights.sum()) - 1) <= 1e-9
            _hold(on, balancer, f"gives weights off the simplex: {weights.tolist()}")


def check_equal_projections(make: Make, draws: int = 50) -> None:
    """<g_k, d> / |g_k| is the same for all tasks, and not negative: equal projections, hence equal cosines too."""
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn(draws, decades, 13):
            direction = step.direction(balancer)
            projections = step.jacobian @ direction / (step.jacobian.norm(dim=1) * direction.norm())
            spread = float(projections.max() - projections.min())
            equal = spread <= 1e-6 and float(projections.min()) >= -1e-6
            _hold(equal, balancer, f"gives unequal projections, cosines {projections.tolist()}")


def check_shortest(make: Make, draws: int = 50) -> None:
    """d is the shortest vector of the hull: on the simplex, with <g_k, d> >= |d|^2 for all k (the optimality condition)."""
    check_simplex(make, draws)
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn(draws, decades, 14):
            direction = step.direction(balancer)
            square = float(direction @ direction)
            short = (step.jacobian @ direction - square) / (step.jacobian.norm(dim=1) * direction.norm())
            _hold(
                float(short.min()) >= -1e-7,
                balancer,
                f"is not the shortest: a row falls short by a cosine of {short.min():.1e}",
            )


def check_bargaining(make: Make, draws: int = 50, alpha: float = 1.0) -> None:
    """G w = w^(-1/alpha), w > 0, to a relative residual of 1e-5."""
    for decades in (0.0, 2.0, 4.0):
        balancer = make()
        for step in drawn(draws, decades, 15):
            weights = weights_of(balancer, step.seen)
            residual = (weights ** (1 / alpha) * (_gramian(step) @ weights) - 1).abs().max()
            good = float(weights.min()) > 0 and float(residual) <= 1e-5
            _hold(good, balancer, f"leaves a residual of {float(residual):.1e} in G w = w^(-1/{alpha:g})")


def check_row_scales(make: Make, draws: int = 50) -> None:
    """The direction of d does not change when each task's loss is rescaled on its own, over two decades."""
    generator = torch.Generator().manual_seed(16)
    for step in drawn(draws, 0.0, 17):
        factors = 10 ** (2 * torch.rand(len(step.jacobian), 1, dtype=torch.float64, generator=generator))
        scaled = step_from(step.jacobian * factors, step.seen.losses * factors.squeeze(-1), step.seen.tasks)
        one, other = step.direction(make()), scaled.direction(make())
        gap = float((one / one.norm() - other / other.norm()).norm())
        _hold(gap <= 1e-6, make(), f"changes direction by {gap:.1e} when tasks' losses are rescaled")


def _gramian(step: Step) -> Tensor:
    return step.jacobian @ step.jacobian.mT


def _hold(holds: bool, balancer: Balancer, what: str) -> None:
    if not holds:
        raise NonconformingError(f"{type(balancer).__name__} {what}; this method promises otherwise")
