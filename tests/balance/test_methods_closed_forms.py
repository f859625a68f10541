"""Numbers that a pencil gives: two tasks in closed form, loss methods over a few steps, and methods that must coincide."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cotrain.balance.aligned_mtl import AlignedMTL
from cotrain.balance.cagrad import CAGrad
from cotrain.balance.config import ConFIG
from cotrain.balance.conformance import drawn_jacobian
from cotrain.balance.cov import CoV
from cotrain.balance.db_mtl import DBMTL
from cotrain.balance.dualproj import DualProj
from cotrain.balance.dwa import DWA
from cotrain.balance.fairgrad import FairGrad
from cotrain.balance.famo import FAMO
from cotrain.balance.gls import GLS
from cotrain.balance.gradnorm import GradNorm
from cotrain.balance.gradvac import GradVac, gradvac_weights
from cotrain.balance.imtl import IMTL
from cotrain.balance.imtl_g import IMTLG
from cotrain.balance.imtl_l import IMTLL
from cotrain.balance.log import Log
from cotrain.balance.mgda import MGDA
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.pcgrad import PCGrad, pcgrad_weights
from cotrain.balance.protocol import Seen, Weigher
from cotrain.balance.rlw import RLW
from cotrain.balance.static import Static
from cotrain.balance.stch import STCH
from cotrain.balance.uncertainty import Uncertainty
from cotrain.balance.upgrad import UPGrad
from cotrain.core.errors import ConfigError, TrainingError

PAIRS = [(1.0, 1.0, -0.9), (1.0, 4.0, -0.3), (1e-3, 10.0, -0.5), (1.0, 2.0, 0.6), (5.0, 0.1, 0.0), (1.0, 1e4, -0.99)]
"""Two gradients: their lengths and cosine."""


def _gramian(first: float, second: float, cosine: float) -> Tensor:
    across = first * second * cosine
    return torch.tensor([[first**2, across], [across, second**2]], dtype=torch.float64)


def _losses(balancer: Weigher, *steps: list[float]) -> Tensor:
    """The weights after the last of `steps` of losses of tasks a, b, ..."""
    weights = torch.empty(0)
    for step, losses in enumerate(steps):
        tasks = tuple("abcdef"[: len(losses)])
        weights = balancer.weigh(Seen(tasks, torch.tensor(losses, dtype=torch.float64), step))
    return weights


@pytest.mark.parametrize(("first", "second", "cosine"), PAIRS)
class TestTwoTasks:
    def test_nash(self, first: float, second: float, cosine: float) -> None:
        root = math.sqrt(1 + cosine)
        expected = torch.tensor([1 / (first * root), 1 / (second * root)], dtype=torch.float64)
        assert torch.allclose(NashMTL().weights(_gramian(first, second, cosine)), expected, rtol=1e-8)

    def test_mgda(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        share = (gramian[1, 1] - gramian[0, 1]) / (gramian[0, 0] + gramian[1, 1] - 2 * gramian[0, 1])
        share = share.clamp(0, 1)
        assert torch.allclose(MGDA().weights(gramian), torch.stack((share, 1 - share)), atol=1e-9)

    def test_mgda_divides_by_lengths(self, first: float, second: float, cosine: float) -> None:
        weights = MGDA(normalization="l2").weights(_gramian(first, second, cosine))
        assert weights[0] * first == pytest.approx(float(weights[1] * second), rel=1e-8)

    def test_pcgrad_and_upgrad(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        against = min(first * second * cosine, 0.0)
        expected = torch.tensor([1 - against / first**2, 1 - against / second**2], dtype=torch.float64)
        assert torch.allclose(PCGrad().weights(gramian), expected, rtol=1e-9)
        assert torch.allclose(UPGrad().weights(gramian), expected / 2, rtol=1e-9)

    def test_dualproj(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        half = [max(0.5, -0.5 * cosine * second / first), max(0.5, -0.5 * cosine * first / second)]
        assert torch.allclose(DualProj().weights(gramian), torch.tensor(half, dtype=torch.float64), rtol=1e-9)

    def test_imtl_g(self, first: float, second: float, cosine: float) -> None:
        expected = torch.tensor([second, first], dtype=torch.float64) / (first + second)
        assert torch.allclose(IMTLG().weights(_gramian(first, second, cosine)), expected, rtol=1e-8)

    def test_config(self, first: float, second: float, cosine: float) -> None:
        # direction e1 + e2, |e1 + e2|^2 = 2 + 2c; sum of projections (n1 + n2)(1 + c) / |e1 + e2|
        size = (first + second) / 2
        expected = torch.tensor([size / first, size / second], dtype=torch.float64)
        assert torch.allclose(ConFIG().weights(_gramian(first, second, cosine)), expected, rtol=1e-8)

    def test_fairgrad_meets_its_condition(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        for alpha in (0.5, 1.0, 2.0, 5.0):
            weights = FairGrad(alpha=alpha).weights(gramian)
            assert torch.allclose(
                gramian @ weights * weights ** (1 / alpha), torch.ones(2, dtype=torch.float64), atol=1e-6
            )

    def test_cagrad_against_a_fine_grid(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        for c in (0.2, 0.5, 0.9, 1.5):
            share = torch.linspace(0, 1, 200_001, dtype=torch.float64)
            simplex = torch.stack((share, 1 - share), dim=-1)
            radius = c * gramian.mean().sqrt()
            length = ((simplex @ gramian) * simplex).sum(-1).clamp_min(0).sqrt()
            best = int((simplex @ gramian.mean(1) + radius * length).argmin())
            rest = CAGrad(c=c).weights(gramian) - 0.5
            assert float(rest.min()) >= -1e-9
            assert float(rest @ gramian @ rest) == pytest.approx(float(radius**2), rel=1e-6)
            assert float(rest[0] / rest.sum()) == pytest.approx(float(share[best]), abs=2e-4)

    def test_aligned_mtl_is_orthogonal_and_equally_long(self, first: float, second: float, cosine: float) -> None:
        gramian = _gramian(first, second, cosine)
        values, vectors = torch.linalg.eigh(gramian)
        expected = (
            values[0].sqrt()
            * vectors
            @ torch.diag(values**-0.5)
            @ vectors.mT
            @ torch.full((2,), 0.5, dtype=torch.float64)
        )
        assert torch.allclose(AlignedMTL().weights(gramian), expected, rtol=1e-6, atol=1e-9)

    def test_db_mtl(self, first: float, second: float, cosine: float) -> None:
        weights = DBMTL().weights(_gramian(first, second, cosine), torch.tensor([2.0, 0.5], dtype=torch.float64))
        longest = max(first / 2.0, second / 0.5)
        assert torch.allclose(weights, torch.tensor([longest / first, longest / second], dtype=torch.float64))


def test_pcgrad_on_coefficients_is_pcgrad_on_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        jacobian = drawn_jacobian(generator, 6, 12, 1.0)
        orders = torch.rand(6, 6, generator=generator).argsort(dim=1)
        rows = jacobian.clone()
        for i in range(6):
            for j in orders[i].tolist():
                overlap = rows[i] @ jacobian[j]
                if j != i and overlap < 0:
                    rows[i] -= overlap / (jacobian[j] @ jacobian[j]) * jacobian[j]
        weights = pcgrad_weights(jacobian @ jacobian.mT, orders)
        assert torch.allclose(weights @ jacobian, rows.sum(0), rtol=1e-9)


def test_gradvac_reaches_the_target_cosine() -> None:
    jacobian = drawn_jacobian(torch.Generator().manual_seed(1), 2, 8)
    targets = torch.tensor([[0.0, 0.8], [0.9, 0.0]], dtype=torch.float64)
    gramian = jacobian @ jacobian.mT
    cosine = float(gramian[0, 1] / (gramian[0, 0] * gramian[1, 1]).sqrt())
    weights, moved = gradvac_weights(gramian, targets, torch.tensor([[1, 0], [0, 1]]), beta=0.5)
    first = jacobian[0] + (weights[1] - 1) * jacobian[1]  # row 0 took weights[1] - 1 of g_1
    assert float(torch.cosine_similarity(first, jacobian[1], dim=0)) == pytest.approx(0.8, abs=1e-9)
    assert float(moved[0, 1]) == pytest.approx(0.5 * 0.8 + 0.5 * cosine)


def test_gradvac_keeps_a_target_for_each_pair_by_name() -> None:
    balancer = GradVac(beta=1.0)
    gramian = _gramian(1.0, 1.0, 0.5)
    for tasks in (("a", "b"), ("b", "a"), ("c", "a")):
        balancer.weigh(Seen(tasks, torch.ones(2, dtype=torch.float64), 0, gramian))
    targets = balancer.state_dict()["own"]["targets"]
    assert targets["a"]["b"] == pytest.approx(0.5)
    assert targets["a"]["c"] == pytest.approx(0.5)
    assert "c" not in targets["b"]


def test_log_methods_coincide() -> None:
    """SI = GLS = uncertainty and IMTL-L at their optimum = FAMO with equal logits, in direction."""
    losses = [2.0, 0.5, 0.01]
    log = _losses(Log(), losses)
    for other in (_losses(GLS(), losses), _losses(FAMO(), losses)):
        assert torch.allclose(other / other.sum(), log / log.sum())
    for balancer in (Uncertainty(lr=0.05), IMTLL(lr=0.05)):
        settled = _losses(balancer, *[losses] * 1000)
        assert torch.allclose(settled / settled.sum(), log / log.sum(), rtol=1e-3)
    assert torch.allclose(_losses(IMTLL(lr=0.05), *[losses] * 1000), log, rtol=1e-3)
    assert torch.allclose(_losses(Uncertainty(lr=0.05), *[losses] * 1000), log / 2, rtol=1e-3)


def test_revised_uncertainty_settles_where_its_derivative_vanishes() -> None:
    # l e^-s / 2 = e^s / (1 + e^s), with v = e^s: 2 v^2 = l (1 + v)
    loss = 0.7
    variance = (loss + math.sqrt(loss**2 + 8 * loss)) / 4
    settled = _losses(Uncertainty(regularizer="revised", lr=0.05), *[[loss]] * 1500)
    assert float(settled[0]) == pytest.approx(0.5 / variance, rel=1e-4)


def test_geometric_mean_of_many_tiny_losses_does_not_underflow() -> None:
    weights = _losses(GLS(), [1e-100, 1e-200, 1e-120, 1e-90])
    assert bool(weights.isfinite().all())
    assert bool((weights > 0).all())


def test_dwa_compares_two_windows_by_name() -> None:
    balancer = DWA(window=2, temperature=2.0)
    weights = _losses(balancer, [1.0, 4.0], [1.0, 4.0], [1.0, 2.0], [1.0, 2.0])
    assert torch.allclose(weights, 2 * torch.softmax(torch.tensor([0.5, 0.25], dtype=torch.float64), 0))


def test_cov_follows_the_definition() -> None:
    steps = [[1.0, 3.0], [0.8, 2.0], [0.9, 2.5], [0.5, 2.4]]
    history: list[list[float]] = [[], []]
    for index, step in enumerate(steps[:3]):
        for task, loss in enumerate(step):
            before = [steps[i][task] for i in range(index)]
            history[task].append(loss / (sum(before) / len(before)) if before else 1.0)
    share = []
    for ratios in history:
        mean = sum(ratios) / 3
        share.append(math.sqrt(sum((ratio - mean) ** 2 for ratio in ratios) / 3) / mean)
    expected = torch.tensor(share, dtype=torch.float64) / sum(share)
    assert torch.allclose(_losses(CoV(), *steps), expected)


def test_famo_moves_weight_to_the_task_that_fell_less() -> None:
    weights = _losses(FAMO(gamma=0.0), [1.0, 1.0], [1.0, 0.5], [1.0, 0.5])
    logits = torch.log(weights * torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert float(logits[0] - logits[1]) > 0.02  # Adam's first step is lr against the sign, on both logits


def test_stch_with_small_mu_serves_the_worst_relative_loss_alone() -> None:
    weights = _losses(STCH(mu=0.001, warmup=1), [1.0, 1.0], [0.9, 0.5])
    assert float(weights[1]) < 1e-12
    assert float(weights[0]) == pytest.approx(2 / 0.9)


def test_stch_is_the_derivative_of_its_objective() -> None:
    losses = torch.tensor([0.9, 0.5], dtype=torch.float64, requires_grad=True)
    objective = (
        2 * 0.3 * torch.logsumexp(torch.log(losses / torch.tensor([2.0, 0.4], dtype=torch.float64)) / 0.3, dim=0)
    )
    (slope,) = torch.autograd.grad(objective, losses)
    assert torch.allclose(_losses(STCH(mu=0.3, warmup=1), [2.0, 0.4], [0.9, 0.5]), slope)


def test_gradnorm_brings_weighted_norms_together() -> None:
    layers = torch.diag(torch.tensor([1.0, 100.0], dtype=torch.float64)).unsqueeze(0)
    balancer = GradNorm(lr=0.01)
    for step in range(400):
        seen = Seen(("a", "b"), torch.ones(2, dtype=torch.float64), step, layer_gramians=layers)
        weights = balancer.weigh(seen)
    assert float(weights[0] * 1.0) == pytest.approx(float(weights[1] * 10.0), rel=0.2)
    assert float(weights.sum()) == pytest.approx(2.0)


def test_gradnorm_looks_at_the_last_layer_only() -> None:
    last = torch.diag(torch.tensor([1.0, 100.0], dtype=torch.float64))
    layers = torch.stack((1e6 * torch.eye(2, dtype=torch.float64), 0.5 * last, 0.5 * last))
    one, other = GradNorm(), GradNorm(tensors=1)
    for step in range(20):
        losses = torch.ones(2, dtype=torch.float64)
        first = one.weigh(Seen(("a", "b"), losses, step, layer_gramians=layers))
        second = other.weigh(Seen(("a", "b"), losses, step, layer_gramians=layers[:2]))
        assert torch.allclose(first, second)
    assert float(first[0]) > float(first[1])


def test_imtl_scales_the_step_by_its_learnt_scales() -> None:
    balancer = IMTL(lr=0.05)
    gramian, losses = _gramian(1.0, 3.0, 0.1), torch.tensor([2.0, 0.5], dtype=torch.float64)
    for _ in range(1000):
        weights = balancer.weights(gramian, losses)
    scaled = torch.tensor([1.0 / 2.0, 3.0 / 0.5], dtype=torch.float64)  # |g_k| / l_k
    assert torch.allclose(
        weights * torch.tensor([1.0, 3.0], dtype=torch.float64),
        scaled.prod() / scaled.sum() * torch.ones(2).double(),
        rtol=1e-3,
    )


def test_rlw_gives_a_task_the_same_draw_in_any_order() -> None:
    one = RLW(seed=3).weigh(Seen(("a", "b", "c"), torch.ones(3), 0))
    other = RLW(seed=3).weigh(Seen(("c", "a", "b"), torch.ones(3), 0))
    assert torch.equal(one[[2, 0, 1]], other)


@pytest.mark.parametrize("make", [Log, GLS, DWA, CoV, STCH, FAMO], ids=lambda make: make.__name__)
def test_a_negative_loss_is_named_with_its_task(make: type[Weigher]) -> None:
    with pytest.raises(TrainingError, match="'b'"):
        _losses(make(), [1.0, -2.0])


@pytest.mark.parametrize("make", [Log, GLS, DWA, CoV, FAMO, Uncertainty, IMTLL], ids=lambda make: make.__name__)
def test_a_perfect_answer_does_no_harm(make: type[Weigher]) -> None:
    assert bool(_losses(make(), [1.0, 0.5], [0.5, 0.0], [0.25, 0.0]).isfinite().all())


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Static(weights={"a": -1.0}),
        lambda: CAGrad(c=-0.1),
        lambda: FairGrad(alpha=0.0),
        lambda: MGDA(normalization="l1"),  # type: ignore[arg-type]
        lambda: AlignedMTL(scale="max"),  # type: ignore[arg-type]
        lambda: DWA(window=0),
        lambda: STCH(mu=0.0),
        lambda: GradVac(beta=2.0),
        lambda: Uncertainty(regularizer="new"),  # type: ignore[arg-type]
        lambda: NashMTL().weights(torch.ones(2, 3)),
        lambda: DBMTL().weights(torch.eye(2)),
        lambda: DBMTL().weights(torch.eye(2), torch.ones(3)),
        lambda: UPGrad().load_state_dict({"skipped": {}, "own": {"x": 1}}) or UPGrad().weights(torch.ones(3)),
    ],
)
def test_wrong_settings_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator]
