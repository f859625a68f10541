"""What a training loop sees of the engine: reports, modes, skipped steps, reuse, state, refusals."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.balance.sum import Sum
from cotrain.balance.uncertainty import Uncertainty
from cotrain.core.errors import ConfigError, TrainingError, UnsupportedError

TASKS = ("one", "two", "three")


class Net(nn.Module):
    """Two layers and a head a task, float64."""

    def __init__(self, tasks: tuple[str, ...] = TASKS) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 5)).double()
        self.heads = nn.ModuleDict({task: nn.Linear(5, 1).double() for task in tasks})

    def losses(self, rows: int = 4) -> dict[str, Tensor]:
        """One squared error a task on a fresh batch."""
        h = self.trunk(torch.randn(rows, 6, dtype=torch.float64))
        return {task: head(h).sub(k).square().mean() for k, (task, head) in enumerate(self.heads.items())}

    def gradients(self) -> list[Tensor]:
        """Every `.grad`, zeros where there is none."""
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters()]


def loss_gradients(losses: dict[str, Tensor], net: Net, weights: dict[str, float]) -> list[Tensor]:
    """The gradient of the weighted sum, by torch."""
    total = sum(weights[name] * loss for name, loss in losses.items())
    found = torch.autograd.grad(total, list(net.parameters()), retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(net.parameters(), found, strict=True)]


# ------------------------------------------------------------------------------------------------------- loss-based methods


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sum_is_the_plain_sum_bit_for_bit(dtype: torch.dtype) -> None:
    net = Net().to(dtype)
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


def test_a_loss_method_weighs_trunk_and_heads_alike_in_one_pass() -> None:
    net = Net()
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


def test_the_penalty_of_a_loss_method_is_unweighted() -> None:
    net = Net()
    losses = net.losses()
    penalty = net.trunk[0].weight.square().sum()
    expected = loss_gradients({**losses, "penalty": penalty}, net, {**dict.fromkeys(TASKS, 0.5), "penalty": 1.0})
    Engine(None, Uncertainty()).backward(losses, penalty=penalty)
    for found, truth in zip(net.gradients(), expected, strict=True):
        torch.testing.assert_close(found, truth)


def test_without_any_loss_only_the_penalty_is_passed() -> None:
    net = Net()
    report = Engine(None, Sum()).backward({}, penalty=net.trunk[0].weight.sum())
    assert report.weights == {}
    assert not report.step_skipped
    assert torch.equal(net.trunk[0].weight.grad, torch.ones(9, 6, dtype=torch.float64))


# ------------------------------------------------------------------------------------------------------------- features mode


def test_features_use_one_pass_of_the_trunk_and_the_weights_of_the_features(rows_by_loop, inverse_norms) -> None:
    net = Net()
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


def test_features_add_penalty_and_unit_heads(inverse_norms) -> None:
    net = Net()
    losses = net.losses()
    penalty = net.trunk[0].weight.square().sum() + net.heads["one"].weight.sum()
    unit = loss_gradients({**losses, "penalty": penalty}, net, {**dict.fromkeys(TASKS, 1.0), "penalty": 1.0})
    Engine(None, inverse_norms(), mode="features").backward(losses, penalty=penalty)
    for (name, parameter), truth in zip(net.named_parameters(), unit, strict=True):
        if name.startswith("heads"):
            torch.testing.assert_close(parameter.grad, truth)


def test_features_weigh_everything_below_and_refuse_a_narrower_shared_part(inverse_norms) -> None:
    net = Net()
    with pytest.raises(UnsupportedError, match="weighs everything below"):
        Engine(net.trunk[2], inverse_norms(), mode="features").backward(net.losses())


def test_a_combiner_at_the_features(largest_at_features) -> None:
    net = Net()
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
def test_the_length_is_that_of_unit_weights(mode: str) -> None:
    net = Net()
    report = Engine(None, NashMTL(), mode=mode).backward(net.losses())
    norms = report.norms
    assert float((report.applied * norms).sum()) == pytest.approx(float(norms.sum()), rel=1e-12)
    net.zero_grad()
    paper = Engine(None, NashMTL(), mode=mode, length="paper").backward(net.losses())
    torch.testing.assert_close(paper.applied, NashMTL().weights(paper.gramian))


def test_the_step_vanishes_where_all_gradients_do(unit_weights) -> None:
    net = Net()
    report = Engine(None, NashMTL()).backward({name: loss * 0 for name, loss in net.losses().items()})
    assert float(report.gramian.abs().max()) == 0.0
    assert all(not bool(gradient.any()) for gradient in net.gradients())


def test_weights_are_refreshed_every_n_steps_and_reused_between(inverse_norms) -> None:
    net = Net()
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


def test_a_task_unknown_to_the_held_weights_refreshes_them(inverse_norms) -> None:
    net = Net()
    engine = Engine(None, inverse_norms(), every=10)
    losses = net.losses()
    del losses["three"]
    assert engine.backward(losses).refreshed
    assert not engine.backward({"two": net.losses()["two"], "one": net.losses()["one"]}).refreshed
    assert engine.backward(net.losses()).refreshed


def test_weights_by_layer_are_reused_by_layer(by_layer) -> None:
    net = Net()
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


def test_given_weights_are_used_and_the_method_is_not_asked(inverse_norms) -> None:
    net = Net()
    losses = net.losses()
    rows = [torch.autograd.grad(loss, net.trunk[0].weight, retain_graph=True)[0] for loss in losses.values()]
    report = Engine(None, inverse_norms()).backward(losses, weights={"one": 1.0, "two": 0.0, "three": 2.0})
    torch.testing.assert_close(net.trunk[0].weight.grad, rows[0] + 2 * rows[2])
    assert not report.refreshed
    with pytest.raises(ConfigError, match="got none for \\['three'\\]"):
        Engine(None, inverse_norms()).backward(net.losses(), weights={"one": 1.0, "two": 1.0})


def test_two_passes_balance_an_accumulated_step_exactly(inverse_norms) -> None:
    net = Net()
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


def test_state_continues_in_a_fresh_engine() -> None:
    net = Net()
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
def test_a_probe_measures_touches_no_gradient_and_leaves_the_graph(mode: str, inverse_norms) -> None:
    net = Net()
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


# -------------------------------------------------------------------------------------------------------- what is not finite


@pytest.mark.parametrize("method", [Sum, Uncertainty, NashMTL])
def test_a_task_whose_loss_is_not_finite_is_left_out(method: Callable) -> None:
    net = Net()
    losses = net.losses()
    losses["two"] = losses["two"] * float("nan")
    report = Engine(None, method()).backward(losses)
    assert report.skipped == {"two": "its loss is not finite"}
    assert set(report.weights) == {"one", "three"}
    assert all(bool(g.isfinite().all()) for g in net.gradients())
    assert net.heads["two"].weight.grad is None
    assert not report.step_skipped


@pytest.mark.parametrize("mode", ["exact", "features"])
def test_a_task_whose_gradient_is_not_finite_is_left_out(mode: str, inverse_norms) -> None:
    net = Net()
    losses = net.losses()
    losses["two"] = (losses["two"] - losses["two"].detach()).sqrt()
    rows = [torch.autograd.grad(losses[t], net.trunk[0].weight, retain_graph=True)[0] for t in ("one", "three")]
    report = Engine(None, inverse_norms(), mode=mode).backward(losses)
    assert report.skipped == {"two": "its gradient is not finite"}
    weights = report.weights
    torch.testing.assert_close(net.trunk[0].weight.grad, weights["one"] * rows[0] + weights["three"] * rows[1])
    assert net.heads["two"].weight.grad is None


def test_nothing_is_touched_when_nothing_is_finite(inverse_norms) -> None:
    net = Net()
    engine = Engine(None, inverse_norms())
    engine.backward(net.losses())
    before = net.gradients()
    for losses in (
        {name: loss * float("inf") for name, loss in net.losses().items()},
        {name: (loss - loss.detach()).sqrt() for name, loss in net.losses().items()},
    ):
        report = engine.backward(losses)
        assert report.step_skipped
        assert set(report.skipped) == set(TASKS)
    report = engine.backward(net.losses(), penalty=net.trunk[0].weight.sum() * float("nan"))
    assert report.step_skipped
    assert report.skipped == {"penalty": "it is not finite"}
    assert (engine.skipped_steps, engine.steps, report.skipped_steps) == (3, 4, 3)
    assert all(torch.equal(a, b) for a, b in zip(net.gradients(), before, strict=True))


def test_no_state_of_the_optimiser_moves_on_a_skipped_step(inverse_norms) -> None:
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    engine = Engine(None, inverse_norms())
    engine.backward(net.losses())
    optimizer.step()
    before = copy.deepcopy((net.state_dict(), optimizer.state_dict()["state"]))
    optimizer.zero_grad()
    engine.backward({name: loss * float("nan") for name, loss in net.losses().items()})
    optimizer.step()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[0][name])
    for place, state in optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, before[1][place][key]) for key, value in state.items())


@pytest.mark.parametrize("method", [Sum, NashMTL])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_under_a_scaler_what_is_not_finite_stays_visible(method: Callable, where: str) -> None:
    net = Net()
    losses = {name: loss * 1024 for name, loss in net.losses().items()}
    spoilt = losses["two"] * float("nan") if where == "loss" else (losses["two"] - losses["two"].detach()).sqrt()
    report = Engine(None, method()).backward({**losses, "two": spoilt}, loss_scale=1024.0)
    assert not bool(net.trunk[0].weight.grad.isfinite().all())
    assert report.step_skipped == (method is NashMTL or where == "loss")


def test_a_scaled_step_is_the_unscaled_one_times_the_scale(agree) -> None:
    net = Net()
    losses = net.losses()
    scaled = {name: loss * 256 for name, loss in losses.items()}
    plain = Engine(None, NashMTL()).probe(losses)
    report = agree(scaled, list(net.parameters()), loss_scale=256.0)
    torch.testing.assert_close(report.gramian, plain.gramian)
    torch.testing.assert_close(report.losses, plain.losses)


def test_weights_that_are_not_finite_skip_the_step(inverse_norms) -> None:
    class Broken(inverse_norms):
        def weigh(self, seen):
            return torch.full_like(seen.losses, float("nan"))

    net = Net()
    report = Engine(None, Broken()).backward(net.losses())
    assert report.step_skipped
    assert set(report.skipped.values()) == {"the method's weights are not finite"}
    assert all(p.grad is None for p in net.parameters())


# --------------------------------------------------------------------------------------------------------- tasks and refusals


def test_tasks_come_and_go() -> None:
    net = Net()
    engine = Engine(None, NashMTL())
    for names in (TASKS, ("two",), ("three", "one"), TASKS):
        losses = net.losses()
        report = engine.backward({name: losses[name] for name in names})
        assert report.tasks == names
    assert engine.steps == 4


def test_one_task_alone_has_its_own_gradient() -> None:
    net = Net()
    losses = {"one": net.losses()["one"]}
    expected = loss_gradients(losses, net, {"one": 1.0})
    Engine(net.trunk, NashMTL()).backward(losses)
    for found, truth in zip(net.gradients(), expected, strict=True):
        torch.testing.assert_close(found, truth)


def test_the_order_of_tasks_can_be_fixed() -> None:
    net = Net()
    losses = net.losses()
    report = Engine(None, NashMTL(), tasks=("three", "two", "one")).backward(losses)
    assert report.tasks == ("three", "two", "one")
    assert report.losses[0] == losses["three"]
    with pytest.raises(ConfigError, match="got a loss for \\['one'\\]"):
        Engine(None, NashMTL(), tasks=("two", "three")).backward(net.losses())


def test_losses_of_different_dtypes(agree) -> None:
    net = Net()
    losses = net.losses()
    losses["two"] = losses["two"].float()
    agree(losses, list(net.parameters()), tolerance=1e-6)


def test_mistakes_at_the_door() -> None:
    net = Net()
    with pytest.raises(ConfigError, match="a Weigher or Combiner"):
        Engine(net.trunk)
    with pytest.raises(ConfigError, match="mode is"):
        Engine(net.trunk, Sum(), mode="fast")
    with pytest.raises(ConfigError, match="length is"):
        Engine(net.trunk, Sum(), length="short")
    with pytest.raises(ConfigError, match="at least 1"):
        Engine(net.trunk, Sum(), every=0)
    with pytest.raises(ConfigError, match="must hold parameters"):
        Engine(nn.ReLU(), Sum())
    with pytest.raises(ConfigError, match="task 'a' gave shape \\[3\\]"):
        Engine(None, Sum()).backward({"a": torch.ones(3, requires_grad=True)})
    with pytest.raises(ConfigError, match=r"task 'a' gave 1\.0"):
        Engine(None, Sum()).backward({"a": 1.0})


def test_sparse_embeddings_are_refused(inverse_norms) -> None:
    table = nn.Embedding(5, 4, sparse=True)
    h = table(torch.tensor([1, 2]))
    with pytest.raises(UnsupportedError, match="sparse=False"):
        Engine(None, inverse_norms()).backward({"a": h.sum(), "b": h.square().sum()})
    assert table.weight.grad is None


@pytest.mark.parametrize("place", ["trunk", "head"])
def test_reentrant_checkpointing_is_refused(place: str, inverse_norms) -> None:
    net = Net()
    x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    if place == "trunk":
        h = checkpoint(net.trunk, x, use_reentrant=True)
        losses = {task: head(h).square().mean() for task, head in net.heads.items()}
    else:
        h = net.trunk(x)
        losses = {task: checkpoint(head, h, use_reentrant=True).square().mean() for task, head in net.heads.items()}
    with pytest.raises(UnsupportedError, match="use_reentrant"):
        Engine(None, inverse_norms()).backward(losses)
    assert net.trunk[0].weight.grad is None


def test_the_first_step_can_be_checked_against_a_loop(agree) -> None:
    net = Net()
    agree(net.losses(), list(net.parameters()), check=True)


def test_the_check_finds_what_is_wrong(inverse_norms) -> None:
    net = Net()
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
