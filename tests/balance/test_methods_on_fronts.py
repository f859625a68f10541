"""Whole descents on problems whose Pareto set is known: quadratics, VLMOP2, ZDT1 to 3, DTLZ2."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotrain.balance.cagrad import CAGrad
from cotrain.balance.config import ConFIG
from cotrain.balance.conformance import Make, step_from, weights_of
from cotrain.balance.dualproj import DualProj
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.pcgrad import PCGrad
from cotrain.balance.protocol import Seen
from cotrain.balance.stch import STCH
from cotrain.balance.sum import Sum
from cotrain.balance.upgrad import UPGrad

Problem = Callable[[Tensor], Tensor]


def rows_of(problem: Problem, point: Tensor) -> tuple[Tensor, Tensor]:
    """Losses [T] and gradients [T, P]."""
    free = point.detach().requires_grad_(True)
    losses = problem(free)
    rows = [torch.autograd.grad(loss, free, retain_graph=True)[0] for loss in losses]
    return losses.detach(), torch.stack(rows)


def descend(make: Make, problem: Problem, start: Tensor, *, rate: float, steps: int, box: bool = False) -> Tensor:
    """The point reached from `start` by normalised gradient steps whose length falls linearly from `rate` to zero.

    The length is that of the mean gradient (the engine's default, up to a factor), so that one rate serves all methods.
    """
    balancer, point = make(), start.clone().double()
    for step in range(steps):
        losses, rows = rows_of(problem, point)
        names = [f"f{index}" for index in range(len(losses))]
        seen = Seen(tuple(names), losses, step, rows @ rows.mT)
        weights = weights_of(balancer, seen)
        length = rows.norm(dim=1).sum() / (weights.abs() @ rows.norm(dim=1)).clamp_min(1e-300)
        point = point - rate * (1 - step / steps) * length * (weights @ rows)
        point = point.clamp(0.0, 1.0) if box else point
    return point


CORNERS = torch.tensor(
    [[0.0, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, -1.0], [0.0, 0.0, 2.0, 0.5]], dtype=torch.float64
)
CURVATURE = torch.diag(torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64))


def quadratics(point: Tensor) -> Tensor:
    """f_k = (x - c_k)' A (x - c_k) / 2: the Pareto set is the convex hull of the corners c_k."""
    away = point - CORNERS
    return 0.5 * ((away @ CURVATURE) * away).sum(-1)


def hull_weights(point: Tensor) -> Tensor:
    """The barycentric coordinates of `point`'s projection onto the corners' affine hull."""
    system = torch.cat((CORNERS.mT, torch.ones(1, 4, dtype=torch.float64)))
    solution: Tensor = torch.linalg.lstsq(system, torch.cat((point, point.new_ones(1)))).solution
    return solution


@pytest.mark.parametrize(
    "make", [Sum, MGDA, UPGrad, DualProj, PCGrad, CAGrad, NashMTL, FairGrad], ids=lambda make: make.__name__
)
@pytest.mark.parametrize("start", [[5.0, 5.0, 5.0, 5.0], [-4.0, 3.0, 0.5, -2.0]])
def test_quadratics_of_four_tasks_end_in_the_hull_of_their_optima(make: Make, start: list[float]) -> None:
    point = descend(make, quadratics, torch.tensor(start), rate=0.2, steps=100)
    coordinates = hull_weights(point)
    assert float(coordinates.min()) > -1e-3
    assert torch.allclose(coordinates @ CORNERS, point, atol=5e-3)


def test_the_sum_goes_to_the_mean_of_the_optima() -> None:
    point = descend(Sum, quadratics, torch.tensor([5.0, 5.0, 5.0, 5.0]), rate=0.2, steps=100)
    assert torch.allclose(point, CORNERS.mean(0), atol=1e-4)


@pytest.mark.parametrize(("make", "same"), [(IMTLG, True), (ConFIG, True), (Sum, False), (DualProj, False)], ids=str)
def test_rescaling_a_loss_bends_only_the_paths_that_promise_nothing(make: Make, same: bool) -> None:
    def rescaled(point: Tensor) -> Tensor:
        return quadratics(point) * torch.tensor([1000.0, 1.0, 1.0, 1.0], dtype=torch.float64)

    def unit_path(problem: Problem) -> Tensor:
        point = torch.tensor([5.0, 5.0, 5.0, 5.0], dtype=torch.float64)
        for _ in range(10):
            losses, rows = rows_of(problem, point)
            direction = step_from(rows, losses, "abcd").direction(make())
            point = point - 0.2 * direction / direction.norm()
        return point

    assert torch.allclose(unit_path(quadratics), unit_path(rescaled), atol=1e-6) is same


def vlmop2(point: Tensor) -> Tensor:
    """A concave front: f_1, f_2 = 1 - exp(-|x -+ 1/sqrt n|^2)."""
    shift = 1 / math.sqrt(len(point))
    return torch.stack([1 - torch.exp(-((point - sign * shift) ** 2).sum()) for sign in (1, -1)])


def above_vlmop2(losses: Tensor) -> float:
    """f_2 minus the front's value at f_1: 1 - exp(-(2 - sqrt(-log(1 - f_1)))^2)."""
    first, second = losses.tolist()
    return float(second) - (1 - math.exp(-((2 - math.sqrt(-math.log1p(-first))) ** 2)))


@pytest.mark.parametrize("make", [MGDA, UPGrad, PCGrad, DualProj], ids=lambda make: make.__name__)
def test_vlmop2_is_reached_in_the_middle_of_its_concave_front(make: Make) -> None:
    start = torch.tensor([0.3, -0.35, 0.1])
    losses = vlmop2(descend(make, vlmop2, start, rate=0.3, steps=200))
    assert abs(above_vlmop2(losses)) < 1e-3
    assert 0.2 < float(losses[0]) < 0.95


def test_vlmop2_the_sum_slides_to_a_corner_and_a_smooth_maximum_does_not() -> None:
    start = torch.tensor([0.3, -0.2, 0.1])
    corner = vlmop2(descend(Sum, vlmop2, start, rate=0.3, steps=300))
    assert float(corner.min()) < 5e-3
    middle = vlmop2(descend(lambda: STCH(mu=0.02, warmup=1), vlmop2, start, rate=0.1, steps=400))
    first = vlmop2(start.double())
    assert abs(above_vlmop2(middle)) < 5e-3
    assert float(middle[0] / middle[1]) == pytest.approx(float(first[0] / first[1]), rel=0.05)  # the ray it was given


def zdt(kind: int) -> Problem:
    """ZDT1, 2 or 3 on [0, 1]^8; the front is at g = 1."""

    def problem(point: Tensor) -> Tensor:
        first, rest = point[0], point[1:]
        scale = 1 + 9 * rest.mean()
        ratio = first / scale
        shape = {
            1: 1 - (ratio + 1e-12).sqrt(),
            2: 1 - ratio**2,
            3: 1 - (ratio + 1e-12).sqrt() - ratio * torch.sin(10 * math.pi * first),
        }
        return torch.stack((first, scale * shape[kind]))

    return problem


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("make", [UPGrad, MGDA, NashMTL], ids=lambda make: make.__name__)
def test_zdt_fronts_are_reached(make: Make, kind: int) -> None:
    start = torch.full((8,), 0.4)
    start[0] = 0.6
    problem = zdt(kind)
    point = descend(make, problem, start, rate=0.02, steps=250, box=True)
    first, second = problem(point).tolist()
    front = {1: 1 - math.sqrt(first), 2: 1 - first**2, 3: 1 - math.sqrt(first) - first * math.sin(10 * math.pi * first)}
    assert second == pytest.approx(front[kind], abs=0.02)


def dtlz2(point: Tensor) -> Tensor:
    """Three tasks; the front is the sphere |f| = 1."""
    radius = 1 + ((point[2:] - 0.5) ** 2).sum()
    a, b = point[0] * math.pi / 2, point[1] * math.pi / 2
    return radius * torch.stack((torch.cos(a) * torch.cos(b), torch.cos(a) * torch.sin(b), torch.sin(a)))


@pytest.mark.parametrize("make", [UPGrad, MGDA, DualProj, CAGrad], ids=lambda make: make.__name__)
def test_dtlz2_ends_on_the_sphere(make: Make) -> None:
    start = torch.tensor([0.3, 0.6, 0.9, 0.1, 0.8, 0.2])
    losses = dtlz2(descend(make, dtlz2, start, rate=0.1, steps=150, box=True))
    assert float(losses.square().sum()) == pytest.approx(1.0, abs=0.02)
