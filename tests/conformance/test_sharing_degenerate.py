"""Every way of sharing is hard sharing where its own settings and values say so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.stacked import Stage
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.conformance import BACKBONES, TASKS, Case, answered, last_values
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

backbones = pytest.mark.parametrize("backbone", BACKBONES)

TREE = (((*TASKS,),), (("zeta", "m.n"), ("alpha",)))
ALIKE: dict[str, Any] = {
    "hard, split": Hard(split=0),
    "soft_l2": SoftL2(),
    "cross_stitch": CrossStitch(),
    "lora": LoRA(),
    "film": FiLM(),
    "feature_selection": FeatureSelection(),
    "branched": Branched(groups=TREE),
    "cascade": Cascade(feeds={"alpha": ("zeta",)}),
    "cascade, both": Cascade(feeds={"alpha": ("zeta",)}, tell="both"),
    "adapters": Adapters(),
    "mtan": MTAN(),
    "mmoe": MMoE(experts=3, split=0),
    "cgc": CGC(split=0),
    "ple": PLE(),
    "dselect_k": DSelectK(experts=4, split=0),
    "task_relation": TaskRelation(),
}
"""What begins as hard sharing by itself, and below what does so with the values that say it."""


def made_hard(name: str, sharing: Any, stages: nn.ModuleList) -> None:
    """Set what the method adds to "nothing added", and every copy to the stage it is a copy of."""
    with torch.no_grad():
        if name == "adapters":
            for adapter in sharing.adapters.modules():
                if hasattr(adapter, "up"):
                    adapter.up.linear.weight.zero_()
        if name == "mtan":
            for mask in (mask for masks in sharing.masks.values() for mask in masks):
                mask.h_norm.norm.weight.zero_()
                mask.h_norm.norm.bias.fill_(50.0)  # a mask of 1
        copies = {"mmoe": "experts", "dselect_k": "experts"}.get(name)
        chains = [getattr(sharing, copies)] if copies else []
        if name == "cgc":
            chains = [sharing.extraction.shared_experts, *sharing.extraction.own_experts.values()]
        if name == "task_relation":
            for chain in sharing.own.values():
                for stage, copy in zip(stages[-1:], chain, strict=True):
                    copy.load_state_dict(stage.state_dict())
        for chain in chains:
            for stage, copy in zip(stages, chain, strict=True):
                fill(copy, stage)
        if name == "ple":
            for level, stage in zip([*(one.experts for one in sharing.inner)], stages[-2:-1], strict=True):
                fill(level[0], stage)
            for chain in (sharing.last.shared_experts, *sharing.last.own_experts.values()):
                fill(chain[0], stages[-1])


def fill(stacked: nn.Module, stage: nn.Module) -> None:
    """Every copy of a stacked or looped stage gets the stage's values."""
    if hasattr(stacked, "copies") and not isinstance(stacked, Stage):
        for copy in stacked.copies:  # type: ignore[union-attr]
            copy.load_state_dict(stage.state_dict())
        return
    held = {key.replace("norm.", ""): value for key, value in stacked.state_dict().items()}
    for key, value in stage.state_dict().items():
        if value.dim():
            held[key].copy_(value.flatten().repeat(held[key].numel() // value.numel()).reshape(held[key].shape))


@pytest.mark.parametrize("name", ALIKE)
@backbones
def test_in_its_degenerate_setting_it_is_hard_sharing(name: str, backbone: str) -> None:
    hard, signal = Case(Hard(), backbone).built()
    stages = hard.stages
    sharing, _ = Case(ALIKE[name], backbone).built()
    made_hard(name, sharing, stages)
    expected = last_values(hard.eval()(signal))
    found = last_values(answered(sharing.eval(), signal))
    for task in TASKS:
        torch.testing.assert_close(found[task], expected[task], rtol=1e-4, atol=1e-5)
