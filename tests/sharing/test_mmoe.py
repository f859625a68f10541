"""MMoE against the paper's formula written out; gates belong to their tasks; the degenerate cases."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec
from cotrain.encoders.mlp import MLP
from cotrain.sharing.apart import Apart
from cotrain.sharing.gates import mixed
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE, MMoESharing

TASKS = ["zeta", "alpha", "m.n"]  # not in alphabetical order
SPEC = {"x": FieldSpec("number", names=("a", "b", "c"))}


def parts(
    split: int, experts: int = 4, *, norm: Any = "layer", gate_dropout: float = 0.0
) -> tuple[MMoESharing, Tensor]:
    torch.manual_seed(3)
    encoder = MLP(widths=[6, 5, 7], dropout=0.0, norm=norm, activation="gelu").build(SPEC)
    sharing = MMoE(experts=experts, split=split, gate_dropout=gate_dropout).build(encoder.stages, encoder.shapes, TASKS)
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=0.7)
    return sharing, torch.randn(11, 3)


def literal(sharing: MMoESharing, x: Tensor) -> dict[str, Tensor]:
    """Equations 6 and 7 with lists: y_k = sum_i softmax(W_gk x)_i f_i(x), row by row, expert by expert."""
    for stage in sharing.bottom:
        x = stage(Signal(x)).values
    count = sharing.count
    experts = []
    for expert in range(count):
        layers: list[Any] = []
        for stage in sharing.experts:
            linear, norm, act, _ = stage.layers
            layers.append((linear.weight[expert], linear.bias[expert], norm.weight[expert], norm.bias[expert], act))
        experts.append(layers)
    answers = {}
    for task in TASKS:
        gate_weight = sharing.gate(task).weight
        rows = []
        for row in x:
            outputs = []
            for layers in experts:
                h = row
                for weight, bias, gain, offset, act in layers:
                    h = weight @ h + bias
                    h = (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt() * gain + offset
                    h = act(h)
                outputs.append(h)
            scores = [math.exp(float((gate_weight[expert] @ row).detach())) for expert in range(count)]
            rows.append(sum(score / sum(scores) * out for score, out in zip(scores, outputs, strict=True)))
        answers[task] = torch.stack(rows)
    return answers


@pytest.mark.parametrize("split", [0, 1, 2, -1, -3])
def test_it_is_the_papers_formula(split: int) -> None:
    sharing, x = parts(split)
    found, expected = sharing(Signal(x)), literal(sharing, x)
    assert list(found) == TASKS
    for task in TASKS:
        torch.testing.assert_close(found[task][-1].values, expected[task], rtol=1e-4, atol=1e-5)
        begin = split % 3
        assert len(found[task]) == len(sharing.shapes[task]) == begin + 2
        assert [one.values.shape[1] for one in found[task]] == [shape.width for shape in sharing.shapes[task]]


def test_each_gate_is_reached_by_its_own_task_only_and_experts_by_all() -> None:
    sharing, x = parts(1)
    for task in TASKS:
        sharing.zero_grad(set_to_none=True)
        sharing(Signal(x))[task][-1].values.square().sum().backward()
        reached = {name for name, one in sharing.named_parameters() if one.grad is not None and one.grad.any()}
        assert {name for name in reached if name.startswith("gates")} == {
            "gates.of_" + task.replace(".", "%2E") + ".weight"
        }
        assert {name for name in reached if not name.startswith("gates")} == {
            name for name, _ in sharing.named_parameters() if not name.startswith("gates")
        }


def test_one_expert_is_hard_sharing() -> None:
    encoder = MLP(widths=[6, 5], dropout=0.0).build(SPEC)
    hard = Hard().build(encoder.stages, encoder.shapes, TASKS)
    one = MMoE(experts=1, split=0, gate_dropout=0.5).build(encoder.stages, encoder.shapes, TASKS)
    with torch.no_grad():
        for copy, stage in zip(one.experts, hard.stages, strict=True):
            copy.layers[0].weight.copy_(stage.layers[0].weight[None])
            copy.layers[0].bias.copy_(stage.layers[0].bias[None])
    x = Signal(torch.randn(8, 3))
    for task in TASKS:
        torch.testing.assert_close(one(x)[task][-1].values, hard(x)[task][-1].values)
    assert one.usage() == {}


def test_gates_begin_near_uniform_and_experts_differ() -> None:
    encoder = MLP(widths=[16]).build(SPEC)
    sharing = MMoE(experts=8).build(encoder.stages, encoder.shapes, TASKS)
    sharing(Signal(torch.randn(500, 3)))
    assert all(value > 0.999 for name, value in sharing.usage().items() if "entropy" in name)
    weight = sharing.experts[0].layers[0].weight
    assert len(weight[:, 0, 0].detach().unique()) == 8


def test_usage_is_the_entropy_of_the_mean_gate() -> None:
    sharing, x = parts(0)
    with torch.no_grad():
        sharing.gate("zeta").weight.zero_()
        sharing.gate("alpha").weight.zero_()
        sharing.gate("alpha").weight[0] = 1e4
    sharing(Signal(x.abs() + 0.1))
    usage = sharing.usage()
    assert [name for name in usage if "entropy" in name] == [f"expert_entropy/{task}" for task in TASKS]
    assert sum(usage[f"expert_share/m.n/{expert}"] for expert in range(4)) == pytest.approx(1.0)
    assert usage["expert_entropy/zeta"] == pytest.approx(1.0, abs=1e-6)
    assert usage["expert_entropy/alpha"] == pytest.approx(0.0, abs=1e-6)
    gate = torch.softmax((x.abs() + 0.1) @ sharing.gate("m.n").weight.detach().T, -1).mean(0)
    assert usage["expert_entropy/m.n"] == pytest.approx(float(-(gate * gate.log()).sum() / math.log(4)), abs=1e-5)
    assert sharing.penalty() is None


@pytest.mark.parametrize("experts", [1, 2, 4])
@pytest.mark.parametrize("chance", [0.3, 0.99])
def test_leaving_experts_out_never_gives_nan_and_acts_while_training_only(experts: int, chance: float) -> None:
    sharing, x = parts(0, experts, gate_dropout=chance)
    for _ in range(20):
        sharing.zero_grad()
        out = sharing(Signal(x))
        torch.stack([signals[-1].values.sum() for signals in out.values()]).sum().backward()
        assert all(bool(signals[-1].values.isfinite().all()) for signals in out.values())
        assert all(bool(one.grad.isfinite().all()) for one in sharing.parameters() if one.grad is not None)
    sharing.eval()
    expected = literal(sharing, x)
    for task, signals in sharing(Signal(x)).items():
        torch.testing.assert_close(signals[-1].values, expected[task], rtol=1e-4, atol=1e-5)


def test_left_out_experts_have_no_part_in_the_row() -> None:
    sharing, x = parts(0, 4, gate_dropout=0.5)
    sharing(Signal(x))
    gate = torch.stack([sharing.gate(task).last for task in TASKS])
    torch.testing.assert_close(gate.sum(-1), torch.ones(3, 11))
    assert 0.2 < float((gate == 0).float().mean()) < 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"experts": 0}, r"mmoe\.experts must be a whole number of at least 1, got 0"),
        ({"experts": 2.0}, r"mmoe\.experts"),
        ({"gate_dropout": 1.0}, r"mmoe\.gate_dropout must lie in \[0, 1\)"),
        ({"split": 2}, r"split is 2, but the encoder has 2 stages to copy; use a split in \[-2, 1\]"),
        ({"split": -3}, "split is -3"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    encoder = MLP(widths=[4, 4]).build(SPEC)
    with pytest.raises(ConfigError, match=message):
        MMoE(**settings).build(encoder.stages, encoder.shapes, TASKS)


def test_an_encoder_without_stages_has_nothing_to_copy() -> None:
    encoder = MLP(widths=[]).build(SPEC)
    with pytest.raises(ConfigError, match="mmoe copies stages of the encoder, but this one has none"):
        MMoE().build(encoder.stages, encoder.shapes, TASKS)


@pytest.mark.parametrize("settings", [Hard(), Apart()], ids=str)
def test_hard_sharing_hands_every_task_the_signals_after_each_stage(settings: Hard) -> None:
    encoder = MLP(widths=[6, 5], dropout=0.0).build(SPEC)
    embedded = encoder.embed({"x": Field.dense(torch.randn(4, 3))})
    sharing = settings.build(encoder.stages, encoder.shapes, TASKS)
    found = sharing(embedded)
    assert list(found) == TASKS
    first = encoder.stages[0](embedded)
    for signals in found.values():
        torch.testing.assert_close(signals[1].values, first.values)
        torch.testing.assert_close(signals[2].values, encoder.stages[1](first).values)
    assert sharing.penalty() is None
    assert sharing.usage() == {}


def test_small_groups_of_experts_are_mixed_together_as_apart() -> None:
    for width in (3, 150, 300):  # each group small, only both together large, each large
        gate = torch.softmax(torch.randn(5, 4), 1)
        parts = [torch.randn(2, 5, width), torch.randn(2, 5, width)]
        expected = torch.einsum("be,ebd->bd", gate, torch.cat(parts))
        torch.testing.assert_close(mixed(gate, parts), expected)
