"""Parameters and operations are those the formula counts, on a trunk of three linear layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cotrain.core.signals import Shape, Signal
from cotrain.core.stacked import Stage
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.apart import Apart
from cotrain.sharing.branched import Branched
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.cgc import CGC
from cotrain.sharing.cross_stitch import CrossStitch
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.feature_selection import FeatureSelection
from cotrain.sharing.film import FiLM
from cotrain.sharing.gallery import SHARINGS
from cotrain.sharing.gates import SMALL
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.mtan import MTAN
from cotrain.sharing.ple import PLE
from cotrain.sharing.soft_l2 import SoftL2
from cotrain.sharing.task_relation import TaskRelation

TASKS = ["a", "b", "c", "d"]
T, B, IN, D, E = 4, 10, 7, 150, 3
"""Tasks, rows, inputs, width of every layer, experts."""
FIRST, NEXT = IN * D + D, D * D + D
ALL = FIRST + 2 * NEXT
F1, FN = 2 * B * IN * D, 2 * B * D * D
"""Operations of the first layer and of another: a multiplication and an addition a weight and row."""


def mix(*experts: int) -> int:
    """Operations of a gate over groups of experts, and of mixing them; groups too small for a product are joined, or a sum, which is not counted."""
    joined = max(experts) * D < SMALL <= sum(experts) * D
    products = sum(2 * B * group * D for group in ((sum(experts),) if joined else experts) if group * D >= SMALL)
    return products + 2 * B * D * sum(experts)


COSTS: dict[str, tuple[Any, int, int]] = {
    "none": (Apart(), ALL, F1 + 2 * FN),
    "hard": (Hard(), ALL, F1 + 2 * FN),
    "hard, split": (Hard(split=1), FIRST + T * 2 * NEXT, F1 + T * 2 * FN),
    "soft_l2": (SoftL2(), T * ALL, T * (F1 + 2 * FN)),
    "cross_stitch": (CrossStitch(), T * ALL + 3 * T * T * D, T * (F1 + 2 * FN)),
    "cross_stitch, by stage": (CrossStitch(per="stage"), T * ALL + 3 * T * T, T * (F1 + 2 * FN) + 3 * T * 2 * T * B * D),
    "mmoe": (MMoE(experts=E), FIRST + NEXT + E * NEXT + T * E * D, F1 + FN + E * FN + T * mix(E)),
    "cgc": (
        CGC(shared=2, own=1),
        FIRST + NEXT + (2 + T) * NEXT + T * E * D,
        F1 + FN + (2 + T) * FN + T * mix(1, 2),
    ),
    "ple": (
        PLE(shared=2, own=1),
        FIRST + 2 * (2 + T) * NEXT + 2 * T * E * D + (2 + T) * D,
        F1 + 2 * (2 + T) * FN + 2 * T * mix(1, 2) + mix(2 + T),
    ),
    "dselect_k": (DSelectK(experts=4), FIRST + NEXT + 4 * NEXT + T * 2 * (2 + 1), F1 + FN + 4 * FN + T * (2 * B * 4 * D + 2 * (4 + 2 + 8))),
    "adapters": (Adapters(width=2), ALL + 3 * T * (4 * D + 2 + D), F1 + T * (2 * FN + 3 * 2 * 2 * B * D * 2)),
    "lora": (
        LoRA(rank=2),
        ALL + T * (2 * (IN + D) + 2 * 2 * (D + D)),
        T * (F1 + 2 * FN + 2 * 2 * D * (IN + D + D)),
    ),
    "mtan": (
        MTAN(),
        ALL + 2 * (D * D + 3 * D) + T * (3 * (2 * D * D + 6 * D) + 2 * D * D),
        F1 + 2 * FN + T * (2 * FN + 4 * FN + 2 * FN + 2 * FN),
    ),
    "film": (FiLM(), ALL + T * 3 * 2 * D, F1 + T * 2 * FN),
    "feature_selection": (FeatureSelection(), ALL + T * D, F1 + 2 * FN),
    "branched": (Branched(groups=((TASKS,), (TASKS[:2], TASKS[2:]))), FIRST + 2 * 2 * NEXT, F1 + 2 * 2 * FN),
    "task_relation": (TaskRelation(), FIRST + NEXT + T * NEXT, F1 + FN + T * FN),
    "cascade": (Cascade(feeds={"b": ("a",), "c": ("a", "b")}, tell="features"), FIRST + NEXT + T * NEXT + 3 * (D * D + D), F1 + FN + T * FN + 3 * FN),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTS)
def test_parameters_and_operations_are_those_of_the_formula(name: str) -> None:
    settings, parameters, operations = COSTS[name]
    stages = nn.ModuleList(
        [Stage(nn.Linear(IN, D), nn.ReLU()), Stage(nn.Linear(D, D), nn.ReLU()), Stage(nn.Linear(D, D), nn.ReLU())]
    )
    sharing = settings.build(stages, [Shape("vector", IN)] + [Shape("vector", D)] * 3, TASKS).eval()
    assert sum(one.numel() for one in sharing.parameters()) == parameters
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        sharing(Signal(torch.randn(B, IN)))
    assert counter.get_total_flops() == operations


def test_every_sharing_is_counted() -> None:
    assert {type(settings) for settings, _, _ in COSTS.values()} == set(SHARINGS.values())
