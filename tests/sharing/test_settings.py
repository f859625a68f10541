"""Settings that cannot be are refused at the door; freezing freezes; copies begin as they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.signals import Shape
from cotrain.core.spec import FieldSpec
from cotrain.encoders.mlp import MLP
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.conformance import Case, answered, last_values
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

TASKS = ["income", "married", "age"]
SPEC = {"x": FieldSpec("number", names=("a", "b", "c"))}

REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: Hard(split=2), r"hard\.split is 2, but the encoder has 2 stages to copy; use a split in \[-2, 1\]"),
    (lambda: SoftL2(strength=-1.0), r"soft_l2\.strength must be a number of at least 0, got -1"),
    (lambda: SoftL2(strength=float("nan")), r"soft_l2\.strength"),
    (lambda: CrossStitch(own=1.5), r"cross_stitch\.own must lie in \[0, 1\], got 1.5"),
    (lambda: CrossStitch(per="row"), r"cross_stitch\.per must be channel or stage, got 'row'"),  # type: ignore[arg-type]
    (lambda: CrossStitch(rate=0.0), r"cross_stitch\.rate must be a number above 0"),
    (lambda: MMoE(experts=0), r"mmoe\.experts must be a whole number of at least 1, got 0"),
    (lambda: CGC(shared=0), r"cgc\.shared must be a whole number of at least 1, got 0"),
    (lambda: CGC(own=1.5), r"cgc\.own must be a whole number"),  # type: ignore[arg-type]
    (lambda: CGC(gate_dropout=1.0), r"cgc\.gate_dropout must lie in \[0, 1\)"),
    (lambda: PLE(levels=3), r"ple\.levels is 3, but the encoder has 2 stages to copy; use at most 2 levels"),
    (lambda: PLE(levels=0), r"ple\.levels must be a whole number of at least 1"),
    (lambda: DSelectK(experts=1), r"dselect_k\.experts must be a whole number of at least 2"),
    (lambda: DSelectK(experts=2, k=3), r"dselect_k\.k must be at most experts, 2, got 3"),
    (lambda: DSelectK(gamma=0.0), r"dselect_k\.gamma must be a number above 0"),
    (lambda: Adapters(width=0), r"adapters\.width must be a whole number"),
    (lambda: LoRA(rank=0), r"lora\.rank must be a whole number"),
    (lambda: LoRA(alpha=0.0), r"lora\.alpha must be a number above 0"),
    (lambda: MTAN(split=5), r"mtan\.split is 5"),
    (lambda: FiLM(split=-3), r"film\.split is -3"),
    (lambda: FeatureSelection(strength=-1.0), r"feature_selection\.strength must be a number of at least 0"),
    (lambda: TaskRelation(strength=-0.1), r"task_relation\.strength"),
    (lambda: Branched(groups=()), r"branched\.groups must be, for each stage, a list of groups of task names"),
    (lambda: Branched(groups=(("income",),)), r"branched\.groups must be"),  # type: ignore[arg-type]
    (lambda: Branched(groups="automatic"), r"branched\.groups: unknown word 'automatic'; did you mean 'auto'\?"),  # type: ignore[arg-type]
    (lambda: Branched(groups="auto"), r"branched\.groups is 'auto', and nobody has found the groups: the recipe does"),
    (lambda: Branched(groups=[[TASKS]], split=2), r"branched\.split is 2, but the encoder has 2 stages to copy"),
    (lambda: Branched(groups=[[TASKS]], split=True), r"branched\.split must be a whole number"),
    (lambda: Branched(groups=[[TASKS]] * 2, split=1), r"branched\.groups has groups for 3 stages, but the encoder has 2"),
    (lambda: Branched(groups=[[TASKS]] * 3), r"branched\.groups has groups for 3 stages, but the encoder has 2"),
    (lambda: Branched(groups=[[["income", "maried"], ["age"]]]), r"stage 0: unknown task 'maried'; did you mean 'married'\?"),
    (lambda: Branched(groups=[[["income"], ["age"]]]), r"every task belongs to one group, but 'married' is named 0 times"),
    (lambda: Branched(groups=[[["income", "age"], ["age", "married"]]]), r"'age' is named 2 times"),
    (lambda: Branched(groups=[[["income"], ["age", "married"]], [TASKS]]), r"stage 1: income, married, age are one group again"),
    (lambda: Cascade(feeds={"age": ("income",)}, tell="prediction"), r"cascade\.tell: .*did you mean 'predictions'"),  # type: ignore[arg-type]
    (lambda: Cascade(feeds={}), r"cascade\.feeds must say for a task which tasks it is told about"),
    (lambda: Cascade(feeds={"age": "income"}), r"cascade\.feeds must say"),  # type: ignore[dict-item]
    (lambda: Cascade(feeds={"age": ("incme",)}), r"cascade\.feeds: unknown task 'incme'; did you mean 'income'\?"),
    (lambda: Cascade(feeds={"agee": ("income",)}), r"unknown task 'agee'; did you mean 'age'\?"),
    (lambda: Cascade(feeds={"age": ("income",), "income": ("age",)}), r"cascade\.feeds goes in a circle among income, age"),
    (lambda: Cascade(feeds={"age": ("age",)}), r"goes in a circle among age"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_settings_that_cannot_be_are_refused(make: Callable[[], Any], message: str) -> None:
    encoder = MLP(widths=[4, 4]).build(SPEC)
    with pytest.raises(ConfigError, match=message):
        make().build(encoder.stages, encoder.shapes, TASKS)


@pytest.mark.parametrize(
    "settings",
    [Hard(split=0), SoftL2(), CrossStitch(), MMoE(), CGC(), PLE(), DSelectK(), Adapters(), LoRA(), MTAN(), FiLM(),
     Branched(groups=((tuple(TASKS),),)), TaskRelation(), Cascade(feeds={"age": ("income",)})],
    ids=lambda one: one.name,
)  # fmt: skip
def test_an_encoder_without_stages_has_nothing_to_copy(settings: Any) -> None:
    with pytest.raises(ConfigError, match=f"{settings.name} copies stages of the encoder, but this one has none"):
        settings.build(nn.ModuleList(), [Shape("vector", 3)], TASKS)


def test_lora_says_where_it_finds_no_matrix() -> None:
    with pytest.raises(ConfigError, match="lora changes matrices of the stages, but these have none"):
        LoRA().build(nn.ModuleList([nn.LayerNorm(3)]), [Shape("vector", 3)] * 2, TASKS)


@pytest.mark.parametrize(
    "settings", [Adapters(width=4, freeze=True), LoRA(rank=2, freeze=True)], ids=lambda one: one.name
)
def test_a_frozen_trunk_keeps_its_values_and_its_running_figures(settings: Any) -> None:
    sharing, signal = Case(settings, "map").built()
    sharing.train()
    trunk = {key: value.clone() for key, value in sharing.state_dict().items() if key.startswith(("bottom", "stages"))}
    optimizer = torch.optim.AdamW([one for one in sharing.parameters() if one.requires_grad], 0.1)
    before = last_values(sharing(signal))
    for _ in range(3):
        optimizer.zero_grad()
        torch.stack([one.square().mean() for one in last_values(sharing(signal)).values()]).sum().backward()
        optimizer.step()
    assert all(torch.equal(sharing.state_dict()[key], value) for key, value in trunk.items())
    assert not torch.equal(last_values(sharing(signal))["alpha"], before["alpha"])
    trained = sum(one.numel() for one in sharing.parameters() if one.requires_grad)
    assert 0 < trained == sum(one.numel() for one in sharing.parameters()) - sum(value.numel() for key, value in trunk.items() if key in dict(sharing.named_parameters()))  # fmt: skip


def test_cross_stitch_units_begin_at_nine_tenths_and_move_at_their_own_rate() -> None:
    sharing, _ = Case(CrossStitch(rate=100.0), "vector").built()
    unit = sharing.stitches[0]
    rows = torch.stack([unit.row(task) for task in sharing.shapes])
    expected = torch.full((3, 3), 0.05) + 0.85 * torch.eye(3)
    torch.testing.assert_close(rows.detach()[..., 0], expected)
    torch.testing.assert_close(rows.detach().sum(1), torch.ones(3, 8))
    optimizer = torch.optim.Adam(sharing.parameters(), 1e-3)
    unit.row("alpha").sum().backward()
    optimizer.step()
    torch.testing.assert_close(unit.row("alpha").detach(), rows[1].detach() - 0.1)


def test_copies_of_a_pretrained_trunk_begin_as_it_stands() -> None:
    encoder = MLP(widths=[6, 5]).build(SPEC)
    weight = encoder.stages[1].layers[0].weight.detach().clone()
    for settings in (Hard(split=1), SoftL2(split=1), Branched(groups=([TASKS], [[task] for task in TASKS]))):
        sharing = settings.build(encoder.stages, encoder.shapes, TASKS)
        found = [
            one
            for key, one in sharing.named_parameters()
            if key.endswith("layers.0.weight") and one.shape == weight.shape
        ]
        assert len(found) == 3
        assert all(torch.equal(one.detach(), weight) for one in found)


def test_a_detached_cascade_leaves_the_told_task_alone() -> None:
    for detach, reached in ((False, True), (True, False)):
        sharing, signal = Case(Cascade(feeds={"alpha": ("zeta",)}, detach=detach, tell="both"), "vector").built()
        for parameter in sharing.parameters():
            nn.init.normal_(parameter)
        last_values(answered(sharing, signal))["alpha"].square().sum().backward()
        found = [one.grad is not None and bool(one.grad.any()) for one in sharing.own["of_zeta"].parameters()]
        assert any(found) is reached
