"""What a training loop sees of the engine: reports, modes, skipped steps, reuse, state, refusals."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import ConfigError, TrainingError, UnsupportedError

TASKS = ("one", "two", "three")


def loss_gradients(losses: dict[str, Tensor], net: nn.Module, weights: dict[str, float]) -> list[Tensor]:
    """The gradient of the weighted sum, by torch."""
    total = sum(weights[name] * loss for name, loss in losses.items())
    found = torch.autograd.grad(total, list(net.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(net.parameters(), found, strict=True)]


# ------------------------------------------------------------------------------------------------------- loss-based methods


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_is_the_plain_sum_bit_for_bit(net, dtype: torch.dtype) -> None:
    net.to(dtype)
    x = torch.randn(8, 6, dtype=dtype)

    def losses() -> dict[str, Tensor]:
        h = net.trunk(x)
        return {task: head(h).square().mean() for task, head in net.heads.items()}

    sum(losses().values()).backward()
    plain = net.gradients()
    net.zero_grad()
    report = Engine(net.trunk, Sum()).backward(losses())
    assert all(torch.equal(a, b) for a, b in zip(net.gradients(), plain, strict=True))
    assert report.weights == dict.fromkeys(TASKS, 1.0)
    assert report.gramian is None


def test_a_loss_method_weighs_trunk_and_heads_alike_in_one_pass(net) -> None:
    seen: list[int] = []
    losses = net.losses()
    expected = loss_gradients(losses, net, dict.fromkeys(TASKS, 0.5))
    net.trunk[0].weight.register_hook(lambda gradient: seen.append(1))
    seen.clear()
    report = Engine(None, Uncertainty()).backward(losses)
    assert len(seen) == 1
    assert set(report.weights.values()) == {0.5}
    for found, truth in zip(net.gradients(), expected, strict=True):
        torch.testing.assert_close(found, truth)


def test_the_penalty_of_a_loss_method_is_unweighted(net) -> None:
    losses = net.losses()
    penalty = net.trunk[0].weight.square().sum()
    expected = loss_gradients({**losses, "penalty": penalty}, net, {**dict.fromkeys(TASKS, 0.5), "penalty": 1.0})
    Engine(None, Uncertainty()).backward(losses, penalty=penalty)
    for found, truth in zip(net.gradients(), expected, strict=True):
        torch.testing.assert_close(found, truth)


def test_without_any_loss_only_the_penalty_is_passed(net) -> None:
    report = Engine(None, Sum()).backward({}, penalty=net.trunk[0].weight.sum())
    assert report.weights == {}
    assert not report.step_skipped
    assert torch.equal(net.trunk[0].weight.grad, torch.ones(9, 6, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------------- features mode


def test_features_use_one_pass_of_the_trunk_and_the_weights_of_the_features(net, rows_by_loop, inverse_norms) -> None:
    h = net.trunk(torch.randn(4, 6, dtype=torch.float64))
    losses = {task: head(h).sub(k).square().mean() for k, (task, head) in enumerate(net.heads.items())}
    z = torch.stack([torch.autograd.grad(loss, h, retain_graph=True)[0].flatten() for loss in losses.values()])
    rows = rows_by_loop(losses, net.trunk.parameters())
    passes: list[int] = []
    net.trunk[0].weight.register_hook(lambda g: passes.append(1))
    report = Engine(net.trunk, inverse_norms(), mode="features", length="paper").backward(losses)
    torch.testing.assert_close(report.gramian, z @ z.t())
    torch.testing.assert_close(torch.tensor(list(report.weights.values())).double(), 1 / z.norm(dim=1))
    weights = list(report.weights.values())
    for place, parameter in enumerate(net.trunk.parameters()):
        torch.testing.assert_close(parameter.grad, sum(w * row[place] for w, row in zip(weights, rows, strict=True)))
    assert len(passes) == 1


def test_features_add_penalty_and_unit_heads(net, inverse_norms) -> None:
    losses = net.losses()
    penalty = net.trunk[0].weight.square().sum() + net.heads["one"].weight.sum()
    unit = loss_gradients({**losses, "penalty": penalty}, net, {**dict.fromkeys(TASKS, 1.0), "penalty": 1.0})
    Engine(None, inverse_norms(), mode="features").backward(losses, penalty=penalty)
    for (name, parameter), truth in zip(net.named_parameters(), unit, strict=True):
        if name.startswith("heads"):
            torch.testing.assert_close(parameter.grad, truth)


@pytest.mark.parametrize("mode", ["exact", "features"])
def test_features_that_lie_below_one_another(mode: str, inverse_norms, rows_by_loop) -> None:
    class Mixture(nn.Module):
        """Gates of each task read the stem that the shared experts read as well."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.experts = nn.Linear(6, 8), nn.ModuleList([nn.Linear(8, 5) for _ in range(3)])
            self.gates = nn.ModuleList([nn.Linear(8, 3) for _ in TASKS])
            self.out = nn.ModuleList([nn.Linear(5, 1) for _ in TASKS])

        def losses(self, x: Tensor) -> dict[str, Tensor]:
            h = torch.tanh(self.stem(x))
            experts = torch.stack([torch.relu(expert(h)) for expert in self.experts], 1)
            answer = {}
            for task, gate, out in zip(TASKS, self.gates, self.out, strict=True):
                mixed = torch.einsum("be,beo->bo", torch.softmax(gate(h), 1), experts)
                answer[task] = out(mixed).square().mean()
            return answer

    net = Mixture().double()
    losses = net.losses(torch.randn(4, 6, dtype=torch.float64))
    shared = [*net.stem.parameters(), *net.experts.parameters()]
    everything = [*shared, *net.gates.parameters(), *net.out.parameters()]
    rows = rows_by_loop(losses, everything)
    penalty = net.stem.weight.square().sum() * 0.0
    report = Engine(None, inverse_norms(), mode=mode).backward(losses, penalty=penalty)
    for place, parameter in enumerate(everything):
        factors = [report.weights[task] if place < len(shared) else 1.0 for task in TASKS]
        parts = [f * row[place] for f, row in zip(factors, rows, strict=True) if row[place] is not None]
        torch.testing.assert_close(parameter.grad, sum(parts))


def test_features_weigh_everything_below_and_refuse_a_narrower_shared_part(net, inverse_norms) -> None:
    with pytest.raises(UnsupportedError, match="weighs everything below"):
        Engine(net.trunk[2], inverse_norms(), mode="features").backward(net.losses())


def test_a_combiner_at_the_features(net, largest_at_features) -> None:
    h = net.trunk(torch.randn(4, 6, dtype=torch.float64))
    losses = {task: head(h).sub(k).square().mean() for k, (task, head) in enumerate(net.heads.items())}
    z = torch.stack([torch.autograd.grad(loss, h, retain_graph=True)[0] for loss in losses.values()])
    chosen = z.flatten(1).gather(0, z.flatten(1).abs().argmax(0, keepdim=True)).view_as(h)
    truth = torch.autograd.grad(h, net.trunk[0].weight, chosen, retain_graph=True)[0]
    Engine(None, largest_at_features()).backward(losses)
    torch.testing.assert_close(net.trunk[0].weight.grad, truth)


def test_needs_that_a_mode_cannot_meet_are_refused(by_layer, largest) -> None:
    with pytest.raises(UnsupportedError, match="use mode='exact'"):
        Engine(None, by_layer(), mode="features")
    with pytest.raises(UnsupportedError, match="use mode='exact'"):
        Engine(None, largest(), mode="features")


# ------------------------------------------------------------------------------------------------------- length, every, state


@pytest.mark.parametrize("mode", ["exact", "features"])
def test_the_length_is_that_of_unit_weights(net, mode: str) -> None:
    report = Engine(None, NashMTL(), mode=mode).backward(net.losses())
    norms = report.norms
    assert float((report.applied * norms).sum()) == pytest.approx(float(norms.sum()), rel=1e-12)
    net.zero_grad()
    paper = Engine(None, NashMTL(), mode=mode, length="paper").backward(net.losses())
    torch.testing.assert_close(paper.applied, NashMTL().weights(paper.gramian))


def test_the_step_vanishes_where_all_gradients_do(net, unit_weights) -> None:
    report = Engine(None, NashMTL()).backward({name: loss * 0 for name, loss in net.losses().items()})
    assert float(report.gramian.abs().max()) == 0.0
    assert all(not bool(gradient.any()) for gradient in net.gradients())


def test_weights_are_refreshed_every_n_steps_and_reused_between(net, inverse_norms) -> None:
    engine = Engine(net.trunk, inverse_norms(), every=3)
    reports = []
    for _ in range(7):
        net.zero_grad()
        losses = net.losses()
        rows = [torch.autograd.grad(loss, net.trunk[0].weight, retain_graph=True)[0] for loss in losses.values()]
        head = torch.autograd.grad(losses["two"], net.heads["two"].weight, retain_graph=True)[0]
        report = engine.backward(losses)
        weights = report.weights.values()
        torch.testing.assert_close(net.trunk[0].weight.grad, sum(w * g for w, g in zip(weights, rows, strict=True)))
        torch.testing.assert_close(net.heads["two"].weight.grad, head)
        reports.append(report)
    assert [report.refreshed for report in reports] == [True, False, False, True, False, False, True]
    assert reports[1].weights == reports[0].weights != reports[3].weights
    assert reports[1].gramian is None


def test_a_task_unknown_to_the_held_weights_refreshes_them(net, inverse_norms) -> None:
    engine = Engine(None, inverse_norms(), every=10)
    losses = net.losses()
    del losses["three"]
    assert engine.backward(losses).refreshed
    assert not engine.backward({"two": net.losses()["two"], "one": net.losses()["one"]}).refreshed
    assert engine.backward(net.losses()).refreshed


def test_weights_by_layer_are_reused_by_layer(net, by_layer) -> None:
    engine = Engine(net.trunk, by_layer(), every=2, length="paper")
    engine.backward(net.losses())
    net.zero_grad()
    losses = net.losses()
    rows = [torch.autograd.grad(loss, net.trunk[0].weight, retain_graph=True)[0] for loss in losses.values()]
    report = engine.backward(losses)
    assert not report.refreshed
    torch.testing.assert_close(
        net.trunk[0].weight.grad, sum(w * g for w, g in zip(report.applied[0], rows, strict=True))
    )


def test_given_weights_are_used_and_the_method_is_not_asked(net, inverse_norms) -> None:
    losses = net.losses()
    rows = [torch.autograd.grad(loss, net.trunk[0].weight, retain_graph=True)[0] for loss in losses.values()]
    report = Engine(None, inverse_norms()).backward(losses, weights={"one": 1.0, "two": 0.0, "three": 2.0})
    torch.testing.assert_close(net.trunk[0].weight.grad, rows[0] + 2 * rows[2])
    assert not report.refreshed
    with pytest.raises(ConfigError, match="got none for \\['three'\\]"):
        Engine(None, inverse_norms()).backward(net.losses(), weights={"one": 1.0, "two": 1.0})


def test_two_passes_balance_an_accumulated_step_exactly(net, inverse_norms) -> None:
    x = torch.randn(8, 6, dtype=torch.float64)

    def losses(part: Tensor) -> dict[str, Tensor]:
        h = net.trunk(part)
        return {task: head(h).square().sum() / 8 for task, head in net.heads.items()}

    whole = Engine(None, inverse_norms()).backward(losses(x))
    joined = net.gradients()
    net.zero_grad()
    engine = Engine(None, inverse_norms())
    parts = [losses(x[:3]), losses(x[3:])]
    seen = engine.probe({task: sum(part[task] for part in parts) for task in TASKS})
    torch.testing.assert_close(seen.gramian, whole.gramian)
    for part in (x[:3], x[3:]):
        engine.backward(losses(part), weights=whole.weights)
    for found, truth in zip(net.gradients(), joined, strict=True):
        torch.testing.assert_close(found, truth)


def test_state_continues_in_a_fresh_engine(net) -> None:
    first = Engine(net.trunk, Uncertainty(lr=0.1), every=2, generator=torch.Generator().manual_seed(3))
    batches = [net.losses() for _ in range(6)]
    for losses in batches[:3]:
        first.backward(losses)
    second = Engine(net.trunk, Uncertainty(lr=0.1), every=2, generator=torch.Generator())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for losses in batches[3:]:
        again = {name: loss.detach().clone().requires_grad_() for name, loss in losses.items()}
        assert first.backward(again).weights == second.backward(again).weights
    assert (second.steps, second.skipped_steps) == (6, 0)


# ---------------------------------------------------------------------------------------------------------------------- probe


@pytest.mark.parametrize("mode", ["exact", "features"])
def test_a_probe_measures_touches_no_gradient_and_leaves_the_graph(net, mode: str, inverse_norms) -> None:
    losses = net.losses()
    engine = Engine(None, inverse_norms(), mode=mode)
    measured = engine.probe(losses)
    assert all(p.grad is None for p in net.parameters())
    assert engine.steps == 0
    report = engine.backward(losses)
    torch.testing.assert_close(measured.gramian, report.gramian)
    torch.testing.assert_close(measured.cosines, report.cosines)
    assert measured.norm_ratio == pytest.approx(report.norm_ratio)
    assert (measured.layer_gramians is None) == (mode == "features")


# --------------------------------------------------------------------------------------------------------- tasks and refusals


def test_tasks_come_and_go(net) -> None:
    engine = Engine(None, NashMTL())
    for names in (TASKS, ("two",), ("three", "one"), TASKS):
        losses = net.losses()
        report = engine.backward({name: losses[name] for name in names})
        assert report.tasks == names
    assert engine.steps == 4


def test_one_task_alone_has_its_own_gradient(net) -> None:
    losses = {"one": net.losses()["one"]}
    expected = loss_gradients(losses, net, {"one": 1.0})
    Engine(net.trunk, NashMTL()).backward(losses)
    for found, truth in zip(net.gradients(), expected, strict=True):
        torch.testing.assert_close(found, truth)


def test_the_order_of_tasks_can_be_fixed(net) -> None:
    losses = net.losses()
    report = Engine(None, NashMTL(), tasks=("three", "two", "one")).backward(losses)
    assert report.tasks == ("three", "two", "one")
    assert report.losses[0] == losses["three"]
    with pytest.raises(ConfigError, match="got a loss for \\['one'\\]"):
        Engine(None, NashMTL(), tasks=("two", "three")).backward(net.losses())


def test_losses_of_different_dtypes(net, agree) -> None:
    losses = net.losses()
    losses["two"] = losses["two"].float()
    agree(losses, list(net.parameters()), tolerance=1e-6)


def test_the_first_step_can_be_checked_against_a_loop(net, agree) -> None:
    agree(net.losses(), list(net.parameters()), check=True)


def test_the_check_finds_what_is_wrong(net, inverse_norms) -> None:
    h = net.trunk(torch.randn(3, 6, dtype=torch.float64))
    calls = [0]

    def fickle(gradient: Tensor) -> Tensor:
        calls[0] += 1
        return gradient * calls[0]

    h.register_hook(fickle)
    losses = {task: head(h).square().mean() for task, head in net.heads.items()}
    with pytest.raises(TrainingError, match="differ by"):
        Engine(None, inverse_norms(), check=True).backward(losses)


def test_importing_the_room_loads_torch_and_nothing_else() -> None:
    code = (
        "import sys, torch, torch.utils.checkpoint, torch.distributed\n"
        "before = {name.partition('.')[0] for name in sys.modules}\n"
        "import cotrain.balance\n"
        "after = {name.partition('.')[0] for name in sys.modules} - before - set(sys.stdlib_module_names)\n"
        "assert after == {'cotrain'}, after\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('cotrain.')}\n"
        "assert rooms == {'balance', 'core'}, rooms\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
