"""The solvers' own conditions, on inputs chosen to be hard for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotrain.balance.cagrad import CAGrad, cagrad_weights
from cotrain.balance.careful import GramianWeigher
from cotrain.balance.complementarity import complementary
from cotrain.balance.cone import projected
from cotrain.balance.conformance import drawn_jacobian
from cotrain.balance.cosines import balanced, norms_and_cosines, positive
from cotrain.balance.dualproj import DualProj
from cotrain.balance.fairgrad import FairGrad, fairgrad_weights
from cotrain.balance.learnt import Learnt
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL, nash_weights
from cotrain.balance.upgrad import UPGrad


@pytest.mark.parametrize(
    ("tasks", "parameters"), [(2, 1), (4, 8), (8, 4), (8, 2), (16, 8), (32, 64), (32, 16), (24, 12)]
)
def test_complementarity_holds_up_to_rounding_at_any_rank(tasks: int, parameters: int) -> None:
    generator = torch.Generator().manual_seed(tasks + parameters)
    for _ in range(5):
        jacobian = drawn_jacobian(generator, tasks, parameters, 4.0)
        _, cosines = norms_and_cosines(jacobian @ jacobian.mT)
        found = complementary(cosines, cosines)
        slack = found.solutions @ cosines + cosines
        size = found.solutions.amax(dim=-1, keepdim=True).clamp_min(1.0)
        assert found.violation < 1e-10
        assert bool((found.solutions >= 0).all())
        assert bool((slack >= -1e-10 * size).all())
        assert bool((found.solutions * slack <= 1e-10 * size**2).all())


def test_projections_onto_the_dual_cone_are_the_nearest_points() -> None:
    """Moreau: v = pi(v) + (v - pi(v)), the two parts orthogonal, the second a non-positive combination of rows."""
    generator = torch.Generator().manual_seed(0)
    jacobian = drawn_jacobian(generator, 6, 20)
    norms, cosines = norms_and_cosines(jacobian @ jacobian.mT)
    unit = jacobian / norms.unsqueeze(-1)
    start = torch.randn(3, 6, dtype=torch.float64, generator=generator)
    nearest = projected(cosines, start).coefficients @ unit
    moved = nearest - start @ unit
    assert torch.allclose((nearest * moved).sum(-1), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert bool((unit @ nearest.mT >= -1e-12).all())


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-5, 1e-7, 1e-9])
def test_nash_is_right_for_nearly_opposite_gradients(gap: float) -> None:
    gramian = torch.tensor([[1.0, -100 * (1 - gap)], [-100 * (1 - gap), 1e4]], dtype=torch.float64)
    solved = nash_weights(gramian)
    assert solved.residual <= 1e-5
    assert float(solved.values[0]) == pytest.approx(1 / math.sqrt(gap), rel=1e-5)


@pytest.mark.parametrize("tasks", [2, 8, 32, 64])
def test_nash_reaches_its_residual_at_every_size(tasks: int) -> None:
    generator = torch.Generator().manual_seed(tasks)
    for decades in (0.0, 2.0, 4.0):
        jacobian = drawn_jacobian(generator, tasks, tasks + 4, decades)
        gramian = jacobian @ jacobian.mT
        for scale in (1e-20, 1.0, 1e20):
            weights = NashMTL().weights(gramian * scale)
            assert float((weights * (gramian @ weights) * scale - 1).abs().max()) <= 1e-5


@pytest.mark.parametrize("method", [NashMTL, FairGrad], ids=lambda method: method.__name__)
def test_where_no_solution_exists_the_answer_is_defined_and_said(method: type[NashMTL | FairGrad]) -> None:
    row = torch.linspace(-1, 1, 6, dtype=torch.float64)
    jacobian = torch.stack((row, -10 * row))
    balancer = method()
    weights = balancer.weights(jacobian @ jacobian.mT)
    direction = weights @ jacobian
    assert bool((weights > 0).all())
    assert float(direction.norm()) <= 1e-4 * float((weights * jacobian.norm(dim=1)).sum())
    assert "solution" in balancer.notes()[0]
    balancer.weights(torch.eye(2, dtype=torch.float64))
    assert balancer.notes() == []


@pytest.mark.parametrize("method", [MGDA, UPGrad, DualProj, CAGrad], ids=lambda method: method.__name__)
def test_at_a_pareto_stationary_point_no_task_is_harmed(method: Callable[[], GramianWeigher]) -> None:
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(3, 8, dtype=torch.float64, generator=generator)
    jacobian = torch.cat((rows, -rows.sum(0, keepdim=True)))
    direction = method().weights(jacobian @ jacobian.mT) @ jacobian
    assert float(direction.norm()) < 1e-6  # for CAGrad too: its mean gradient is zero here


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize("decades", [0.0, 2.0, 4.0])
def test_fairgrad_reaches_its_residual(alpha: float, decades: float) -> None:
    generator = torch.Generator().manual_seed(8)
    for _ in range(10):
        jacobian = drawn_jacobian(generator, 6, 12, decades)
        assert fairgrad_weights(jacobian @ jacobian.mT, alpha).residual <= 1e-5


@pytest.mark.parametrize("c", [0.1, 0.4, 0.99, 1.0, 3.0])
def test_cagrad_is_certified_by_its_duality_gap(c: float) -> None:
    generator = torch.Generator().manual_seed(9)
    for decades in (0.0, 2.0, 4.0):
        for tasks, parameters in ((3, 6), (8, 24), (16, 64)):
            jacobian = drawn_jacobian(generator, tasks, parameters, decades)
            assert abs(cagrad_weights(jacobian @ jacobian.mT, c).residual) <= 1e-8


def test_cagrad_stays_in_its_ball_and_beats_every_other_point_of_it() -> None:
    generator = torch.Generator().manual_seed(10)
    jacobian = drawn_jacobian(generator, 5, 10)
    mean = jacobian.mean(0)
    direction = CAGrad(c=0.5).weights(jacobian @ jacobian.mT) @ jacobian
    assert float((direction - mean).norm()) == pytest.approx(0.5 * float(mean.norm()), rel=1e-9)
    others = torch.nn.functional.normalize(torch.randn(2000, 10, dtype=torch.float64, generator=generator), dim=-1)
    others = mean + 0.5 * mean.norm() * others
    assert float((others @ jacobian.mT).amin(dim=-1).max()) <= float((jacobian @ direction).min()) + 1e-9


def test_cagrad_without_a_ball_is_the_mean() -> None:
    assert CAGrad(c=0.0).weights(torch.eye(4, dtype=torch.float64)).tolist() == [0.25] * 4


def test_a_gramian_that_lost_its_definiteness_is_repaired() -> None:
    broken = torch.tensor([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], dtype=torch.float64)
    repaired = positive(broken)
    assert float(torch.linalg.eigvalsh(repaired).min()) > -1e-12
    assert torch.allclose(repaired.diagonal(), torch.ones(3, dtype=torch.float64))


def test_balanced_coefficients_of_dependent_rows() -> None:
    row = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
    cosines = row @ row.mT
    direction = balanced(cosines) @ row
    assert float((cosines @ balanced(cosines)).std()) < 0.2  # no vector of the plane has the same cosine with all three
    assert bool((row @ direction > 0).all())


def test_learnt_numbers_step_as_torchs_adam_does() -> None:
    ours, theirs = Learnt(lr=0.03, decay=0.1), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=0.03, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        slope: Tensor = torch.randn(3, dtype=torch.float64, generator=generator)
        theirs.grad = slope.clone()
        optimizer.step()
        ours.step(("a", "b", "c"), slope)
    assert torch.allclose(ours.read(("a", "b", "c"), slope), theirs.detach(), rtol=1e-12)


def test_an_absent_task_rests() -> None:
    learnt = Learnt(lr=0.1)
    learnt.step(("a", "b"), torch.ones(2))
    before = learnt.read(("b",), torch.ones(1))
    learnt.step(("a", "c"), torch.ones(2))
    assert torch.equal(learnt.read(("b",), torch.ones(1)), before)
