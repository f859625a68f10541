"""Where TorchJD has the same method, both give the same answer on well-scaled gradients."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.careful import GramianWeigher
from cotrain.balance.config import ConFIG
from cotrain.balance.conformance import drawn_jacobian
from cotrain.balance.cr_mogm import CRMOGM
from cotrain.balance.dualproj import DualProj
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.graddrop import GradDrop
from cotrain.balance.gradvac import GradVac
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.pcgrad import PCGrad
from cotrain.balance.protocol import Seen
from cotrain.balance.upgrad import UPGrad

aggregation = pytest.importorskip("torchjd.aggregation", reason="TorchJD is a test-only dependency")

Weigh = Callable[[Tensor], Tensor]


def _needs(*modules: str) -> pytest.MarkDecorator:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"TorchJD's own solver needs {', '.join(missing)}")


def _jacobians(tasks: int, count: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(tasks)
    return [drawn_jacobian(generator, tasks, 4 * tasks, 0.5) for _ in range(count)]


def _nash(gramian: Tensor) -> Tensor:
    rows = torch.linalg.cholesky(gramian)
    method = aggregation.NashMTL(n_tasks=len(gramian), max_norm=0.0, update_weights_every=1, optim_niter=100)
    weights: Tensor = method.weighting(rows)
    return weights


CASES = [
    pytest.param(
        UPGrad, lambda: aggregation.UPGradWeighting(), 1e-2, marks=_needs("qpsolvers", "quadprog"), id="upgrad"
    ),
    pytest.param(
        DualProj, lambda: aggregation.DualProjWeighting(), 1e-2, marks=_needs("qpsolvers", "quadprog"), id="dualproj"
    ),
    pytest.param(MGDA, lambda: aggregation.MGDAWeighting(epsilon=1e-6, max_iters=1000), 5e-2, id="mgda"),
    pytest.param(
        CAGrad, lambda: aggregation.CAGradWeighting(c=0.4), 1e-3, marks=_needs("cvxpy", "clarabel"), id="cagrad c=0.4"
    ),
    pytest.param(
        lambda: CAGrad(c=1.0),
        lambda: aggregation.CAGradWeighting(c=1.0),
        1e-3,
        marks=_needs("cvxpy", "clarabel"),
        id="cagrad c=1",
    ),
    pytest.param(
        FairGrad, lambda: aggregation.FairGradWeighting(alpha=1.0), 1e-5, marks=_needs("scipy"), id="fairgrad 1"
    ),
    pytest.param(
        lambda: FairGrad(alpha=2.0),
        lambda: aggregation.FairGradWeighting(alpha=2.0),
        1e-5,
        marks=_needs("scipy"),
        id="fairgrad 2",
    ),
    pytest.param(IMTLG, lambda: aggregation.IMTLGWeighting(), 1e-8, id="imtl_g"),
    pytest.param(AlignedMTL, lambda: aggregation.AlignedMTLWeighting(), 1e-8, id="aligned_mtl min"),
    pytest.param(
        lambda: AlignedMTL(scale="median"),
        lambda: aggregation.AlignedMTLWeighting(scale_mode="median"),
        1e-8,
        id="aligned_mtl median",
    ),
    pytest.param(
        lambda: AlignedMTL(scale="rmse"),
        lambda: aggregation.AlignedMTLWeighting(scale_mode="rmse"),
        1e-8,
        id="aligned_mtl rmse",
    ),
]


@pytest.mark.parametrize("tasks", [2, 3, 6])
@pytest.mark.parametrize(("ours", "theirs", "tolerance"), CASES)
def test_weights_agree(
    ours: Callable[[], GramianWeigher], theirs: Callable[[], Weigh], tolerance: float, tasks: int
) -> None:
    for jacobian in _jacobians(tasks):
        gramian = jacobian @ jacobian.mT
        mine, other = ours().weights(gramian) @ jacobian, theirs()(gramian).to(jacobian.dtype) @ jacobian
        assert float((mine - other).norm() / other.norm()) < tolerance


@_needs("cvxpy", "ecos")
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
@pytest.mark.filterwarnings("ignore:.*ECOS.*")
@pytest.mark.parametrize("tasks", [2, 3])
def test_nash_directions_agree_where_their_solver_converges(tasks: int) -> None:
    for jacobian in _jacobians(tasks, 4):
        gramian = jacobian @ jacobian.mT
        mine, other = NashMTL().weights(gramian), _nash(gramian).double()
        assert torch.allclose(mine / mine.sum(), other / other.sum(), atol=5e-3)


@pytest.mark.parametrize("tasks", [2, 3, 6])
def test_config_agrees_with_the_pseudo_inverse_of_the_unit_rows(tasks: int) -> None:
    for jacobian in _jacobians(tasks):
        mine = ConFIG().weights(jacobian @ jacobian.mT) @ jacobian
        other = aggregation.ConFIG()(jacobian)
        assert torch.allclose(mine, other, rtol=1e-8, atol=1e-10)


def test_pcgrad_agrees_for_two_tasks_where_no_order_is_left() -> None:
    for jacobian in _jacobians(2):
        gramian = jacobian @ jacobian.mT
        assert torch.allclose(PCGrad().weights(gramian), aggregation.PCGradWeighting()(gramian), rtol=1e-10)


def test_gradvac_agrees_over_many_steps_of_two_tasks() -> None:
    ours, theirs = GradVac(beta=0.3), aggregation.GradVacWeighting(beta=0.3)
    for jacobian in _jacobians(2, 40):
        gramian = jacobian @ jacobian.mT
        assert torch.allclose(ours.weights(gramian), theirs(gramian), rtol=1e-5)


def test_graddrop_agrees_on_the_same_draws() -> None:
    rows = torch.randn(4, 50, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(7)
    other = aggregation.GradDrop(leak=torch.full((4,), 0.25))(rows)
    mine = GradDrop(leak=0.25).combine(rows, torch.Generator().manual_seed(7))
    assert torch.allclose(mine, other, atol=1e-6)


def test_cr_mogm_agrees_over_steps() -> None:
    ours, theirs = (
        CRMOGM(weigher=IMTLG(), momentum=0.7),
        aggregation.CRMOGMWeighting(aggregation.IMTLGWeighting(), alpha=0.7),
    )
    for step, jacobian in enumerate(_jacobians(3)):
        gramian = jacobian @ jacobian.mT
        seen = Seen(("a", "b", "c"), torch.ones(3, dtype=torch.float64), step, gramian)
        assert torch.allclose(ours.weigh(seen), theirs(gramian), rtol=1e-8)


def test_their_small_gradients_become_the_mean_and_ours_do_not() -> None:
    """TorchJD treats a Gramian of trace below 1e-4 as zero; scaling a Gramian must not change a direction."""
    gramian = torch.tensor([[1.0, -0.9], [-0.9, 1.0]], dtype=torch.float64)
    tiny = UPGrad().weights(4e-5 * gramian)
    assert torch.allclose(tiny, torch.full((2,), 0.95, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(CAGrad().weights(4e-5 * gramian), CAGrad().weights(gramian), rtol=1e-9)
