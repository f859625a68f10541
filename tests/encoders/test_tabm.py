"""TabM: one network equals M networks with scaled weights; members through heads, losses, sharing, engine and prediction."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import loops_in, stack
from cotrain.encoders.members import MemberLinear, MemberScaling
from cotrain.encoders.mlp import MLP
from cotrain.encoders.piecewise_linear import PiecewiseLinear
from cotrain.encoders.tabm import TabM, first_scaling
from cotrain.heads.linear import LinearHead
from cotrain.heads.mlp import MLPHead
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression
from cotrain.training.cost import cost
from cotrain.training.evaluate import evaluate

SPEC = {
    "numbers": FieldSpec("number", names=("a", "b", "c")),
    "words": FieldSpec("category", names=("d", "e"), cardinalities=(4, 30)),
}
TASKS = [Binary("yes"), Multiclass("kind", classes=3, weight=0.5), Regression("size")]


def batch(rows: int = 12) -> Batch:
    codes = torch.stack([torch.randint(4, (rows,)), torch.randint(30, (rows,))], 1)
    inputs = {"numbers": Field.dense(torch.randn(rows, 3)), "words": Field.dense(codes)}
    some = torch.rand(rows) > 0.3
    some[0] = True
    targets = {
        "yes": Field(torch.randint(2, (rows, 1)).float(), some),
        "kind": Field.dense(torch.randint(3, (rows,))),
        "size": Field.dense(torch.randn(rows, 1)),
    }
    return Batch(inputs, targets, torch.rand(rows) + 0.5, torch.arange(rows))


def jittered(module: nn.Module) -> None:
    """Scalings and biases away from where they begin, where mistakes would cancel."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


@pytest.mark.parametrize("rows", [3, 400])
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_for_members_is_m_linear_layers_with_scaled_weights(first: bool, rows: int) -> None:
    layer = MemberLinear(4, 6, 5, first=first).double()
    jittered(layer)
    x = torch.randn(rows if first else 4 * rows, 6, dtype=torch.float64, requires_grad=True)
    out = layer(x)
    parts = [x] * 4 if first else list(x.split(rows))
    expected = torch.cat(
        [F.linear(part, layer.weight * layer.r[m] * layer.s[m][:, None], layer.bias[m]) for m, part in enumerate(parts)]
    )
    torch.testing.assert_close(out, expected)
    arriving = torch.randn_like(out)
    wanted = [x, *layer.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(out, wanted, arriving), torch.autograd.grad(expected, wanted, arriving), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("first", [True, False])
def test_both_ways_of_scaling_give_the_same(first: bool) -> None:
    layer = MemberLinear(3, 4, 7, first=first).double()
    jittered(layer)
    x = torch.randn(5 if first else 15, 4, dtype=torch.float64)
    torch.testing.assert_close(layer._scaled_rows(x, 5), layer._scaled_weight(x, 5))


@pytest.mark.parametrize("arch", ["tabm", "mini"])
def test_the_network_is_m_explicit_networks_with_scaled_weights_averaged(arch: Any) -> None:
    given = batch()
    model = Model(encoder=TabM(members=3, widths=[7, 5], arch=arch, dropout=0.0), tasks=TASKS).build({"main": SPEC})
    model = model.double().eval()
    jittered(model)
    encoder, stages = next(iter(model.parts[0].encoders.values())), model.parts[0].sharing.stages
    flat = encoder.embed(
        {name: one if "w" in name else Field.dense(one.values.double()) for name, one in given.inputs.items()}
    )
    outputs = {task.name: [] for task in TASKS}  # type: ignore[var-annotated]
    for m in range(3):
        hidden = flat.values
        for place, stage in enumerate(stages):
            linear = stage.layers[0]
            if arch == "tabm":
                weight, bias = linear.weight * linear.r[m] * linear.s[m][:, None], linear.bias[m]
            elif place == 0:
                weight, bias = stage.layers[1].weight * linear.r[m], stage.layers[1].bias
            else:
                weight, bias = linear.weight, linear.bias
            hidden = torch.relu(F.linear(hidden, weight, bias))
        for task in TASKS:
            last = model.heads[f"of_{task.name}"].layers[1].linear
            outputs[task.name].append(F.linear(hidden, last.weight[m], last.bias[m]))
    predicted = model.predict(given)
    torch.testing.assert_close(torch.sigmoid(predicted["yes"]), torch.sigmoid(torch.stack(outputs["yes"])).mean(0))
    torch.testing.assert_close(
        torch.softmax(predicted["kind"], 1), torch.softmax(torch.stack(outputs["kind"]), 2).mean(0)
    )
    torch.testing.assert_close(predicted["size"], torch.stack(outputs["size"]).mean(0))
    losses = model.train().losses([given])
    scaled = model.set_scales({"size": 2.0})
    assert scaled is None
    for task, factor in zip(TASKS, (1.0, 0.5, 1.0), strict=True):
        members = [task.loss(one, given.targets[task.name], given.weight) for one in outputs[task.name]]
        mean = torch.stack([total / count for total, count in members]).mean()
        torch.testing.assert_close(losses[task.name], factor * mean)
    torch.testing.assert_close(model.losses([given])["size"], losses["size"] / 2)


def test_members_begin_apart_by_signs_and_alike_in_all_else() -> None:
    torch.manual_seed(0)
    encoder = TabM(members=8, widths=[6, 6]).build(SPEC)
    first, second = (stage.layers[0] for stage in encoder.stages)
    assert set(first.r.unique().tolist()) == {-1.0, 1.0}
    widths = encoder.columns.widths
    for section in first.r.split(list(widths), 1):
        assert bool((section == section[:, :1]).all())
    assert bool((second.r == 1).all() and (first.s == 1).all() and (second.s == 1).all())
    assert bool((first.bias == first.bias[0]).all())
    assert encoder.shapes == [Shape("vector", sum(widths)), *[Shape("vector", 6, members=8)] * 2]
    assert len(first_scaling(8, (2, 1, 3), signs=True).unique(dim=0)) > 1


def test_where_numbers_are_embedded_members_begin_from_a_normal_draw_a_column() -> None:
    spec = {"x": FieldSpec("number", names=("a", "b"), quantiles=((0.0, 1.0, 2.0, 3.0), (0.0, 1.0)))}
    for arch in ("tabm", "mini"):
        encoder = TabM(members=4000, widths=[2], arch=arch, numbers=PiecewiseLinear(width=3)).build(spec)  # type: ignore[arg-type]
        scaling = encoder.stages[0].layers[0].r.detach()
        assert encoder.columns.widths == (1, 3)
        assert bool((scaling[:, 1:] == scaling[:, 1:2]).all())
        assert float(scaling[:, 0].std()) == pytest.approx(1.0, rel=0.05)
        assert abs(float((scaling[:, 0] * scaling[:, 1]).mean())) < 0.1


def test_mini_has_one_scaling_and_otherwise_the_parameters_of_an_mlp() -> None:
    mini = TabM(members=4, widths=[6, 5], arch="mini", category_width=8).build(SPEC)
    plain = MLP(widths=[6, 5], category_width=8).build(SPEC)
    extra = sum(one.numel() for one in mini.parameters()) - sum(one.numel() for one in plain.parameters())
    assert extra == 4 * mini.columns.width
    assert isinstance(mini.stages[0].layers[0], MemberScaling)


@pytest.mark.parametrize("head", [LinearHead(), MLPHead(widths=[4])])
def test_every_member_has_a_last_layer_of_its_own(head: Any) -> None:
    built = head.build([Shape("vector", 6, members=3)], 2)
    same = torch.randn(5, 6).repeat(3, 1)
    out = built([Signal(same, members=3)]).reshape(3, 5, 2)
    assert not torch.allclose(out[0], out[1])
    assert out.shape == (3, 5, 2)


@pytest.mark.parametrize("arch", ["tabm", "mini"])
@pytest.mark.parametrize("split", [0, -1])
def test_mixtures_of_experts_mix_each_member_by_the_rows_own_gate(arch: Any, split: int) -> None:
    given = batch()
    model = Model(
        encoder=TabM(members=3, widths=[6, 5], arch=arch, dropout=0.0),
        sharing=MMoE(experts=4, split=split),
        tasks=TASKS,
    ).build({"main": SPEC})
    jittered(model)
    assert list(loops_in(model)) == []
    sharing = model.parts[0].sharing
    embedded = next(iter(model.parts[0].encoders.values())).embed(given.inputs)
    signal = embedded
    for stage in sharing.bottom:
        signal = stage(signal)
    stacked = signal.of(signal.values.expand(4, *signal.values.shape))
    for stage in sharing.experts:
        stacked = stage(stacked)
    assert stacked.members == 3
    assert stacked.values.shape == (4, 36, 5)
    gate = torch.softmax(signal.values @ sharing.gate("yes").weight.T, 1)
    gate = gate if len(gate) == 36 else torch.cat([gate] * 3)
    expected = (gate.T.unsqueeze(-1) * stacked.values).sum(0)
    torch.testing.assert_close(sharing(embedded)["yes"][-1].values, expected)


def test_a_stack_of_layers_is_each_copy_alone() -> None:
    layer = MemberLinear(3, 4, 5, first=True)
    many = layer.stacked(2)
    jittered(many)
    x = torch.randn(2, 6, 4)
    out = many(x)
    for copy in range(2):
        alone = MemberLinear(3, 4, 5, first=True)
        alone.load_state_dict({name: one[copy] for name, one in many.state_dict().items()})
        torch.testing.assert_close(out[copy], alone(x[copy]))
    assert not torch.equal(many.weight[0], many.weight[1])
    stage = stack(TabM(members=3, widths=[5], arch="mini", dropout=0.0).build(SPEC).stages[0], 2)
    assert stage(Signal(torch.randn(2, 6, 5 + stage.layers[0].r.shape[-1] - 5))).members == 3


@pytest.mark.parametrize("arch", ["tabm", "mini"])
@pytest.mark.parametrize(
    ("sharing", "balancer"),
    [
        (Apart(), "sum"),
        *[
            (sharing, balancer)
            for sharing in (Hard(), MMoE(experts=2, split=0))
            for balancer in ("sum", "uncertainty", "nash_mtl", "pcgrad", "upgrad")
        ],
    ],
    ids=str,
)
def test_each_family_of_methods_learns_on_an_ensemble(arch: Any, sharing: Any, balancer: str) -> None:
    given = batch(24)
    model = Model(encoder=TabM(members=4, widths=[16, 16], arch=arch, dropout=0.0), sharing=sharing, tasks=TASKS)
    model.build({"main": SPEC})
    engine = Engine(
        model.parts, BALANCERS[balancer](), generator=torch.Generator().manual_seed(0), tasks=list(model.tasks)
    )
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    first = torch.stack(list(model.losses([given]).values())).detach().sum()
    for _ in range(40):
        optimizer.zero_grad()
        engine.backward(model.losses([given]))
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
    assert float(torch.stack(list(model.losses([given]).values())).detach().sum()) < 0.6 * float(first)


@pytest.mark.parametrize("mode", ["exact", "features"])
@pytest.mark.parametrize("rows", [6, 300])
def test_the_engines_gramian_is_that_of_each_tasks_own_gradient(mode: Any, rows: int) -> None:
    given = batch(rows)
    model = Model(encoder=TabM(members=3, widths=[6, 5], dropout=0.0), tasks=TASKS).build({"main": SPEC}).double()
    jittered(model)
    losses = model.losses([given])
    if mode == "exact":
        shared = list(model.parts.parameters())
        rows_of = [
            torch.cat([one.reshape(-1) for one in torch.autograd.grad(loss, shared, retain_graph=True)])
            for loss in losses.values()
        ]
        expected = torch.stack(rows_of) @ torch.stack(rows_of).t()
    for chunk in (None, 1):
        engine = Engine(model.parts, BALANCERS["nash_mtl"](), mode=mode, chunk=chunk, tasks=list(model.tasks))
        model.zero_grad()
        report = engine.backward(model.losses([given]))
        assert report.gramian is not None
        if mode == "exact":
            torch.testing.assert_close(report.gramian, expected)
            weights = torch.as_tensor([float(report.weights[name]) for name in losses])
            combined = torch.autograd.grad(
                sum(w * loss for w, loss in zip(weights, model.losses([given]).values(), strict=True)), shared
            )
            for parameter, gradient in zip(shared, combined, strict=True):
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_dropout_and_initial_values_come_from_the_seed_alone() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        model = Model(encoder=TabM(members=2, widths=[5]), tasks=TASKS).build({"main": SPEC})
        torch.manual_seed(4)
        given = batch()
        found.append({name: float(loss.detach()) for name, loss in model.losses([given]).items()})
    assert found[0] == found[1]


def test_scores_costs_and_a_round_trip_of_the_state_work_on_an_ensemble() -> None:
    given = batch()
    settings = TabM(members=4, widths=[6])
    model = Model(encoder=settings, tasks=TASKS).build({"main": SPEC}).eval()
    assert model.members == 4
    assert set(evaluate(model, [given])) == {"yes", "kind", "size"}
    assert cost(model, given)["flops_per_row"] >= 4 * 2 * 6 * model.structure()["stages"]["yes"][0]["width"]
    other = Model(encoder=settings, tasks=TASKS).build({"main": SPEC}).eval()
    other.load_state_dict(model.state_dict())
    for name, output in model.predict(given).items():
        assert torch.equal(output, other.predict(given)[name])
        assert len(output) == 12
        assert len(model(given)[name]) == 48


@pytest.mark.parametrize(
    "wrong",
    [{"members": 0}, {"members": 2.5}, {"widths": []}, {"widths": 64}, {"arch": "maxi"}, {"dropout": 1.0}, {"activation": "rleu"},
     {"category_width": "big"}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"tabm.{next(iter(wrong))}"):
        TabM(**wrong)
