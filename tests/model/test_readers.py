"""How a gate uses its experts is told of rows that its task reads, whatever other sources and other inputs go through the network."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.core.together import one_pass
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.model.fused import Fused
from cotrain.model.fusion import Fusion
from cotrain.sharing.cgc import CGC
from cotrain.sharing.dselect_k import DSelectK
from cotrain.sharing.mmoe import MMoE
from cotrain.sharing.ple import PLE
from cotrain.tasks.regression import Regression

TASKS = [Regression("a"), Regression("b")]
SHARINGS = [MMoE(experts=3), CGC(own=2), PLE(levels=2), DSelectK(experts=3, per_row=True)]
every = pytest.mark.parametrize("sharing", SHARINGS, ids=lambda one: one.name)


def wide_(model: Model) -> Model:
    """The model with gates that differ from row to row."""
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "gates" in name or "selectors" in name:
                one.normal_()
    return model


def figures(model: Model, batch: Batch) -> dict[str, float]:
    with torch.no_grad():
        model(batch)
    return model.usage()


@every
@pytest.mark.parametrize("once", [False, True])
def test_of_two_sources(sharing: Any, once: bool) -> None:
    torch.manual_seed(0)
    spec = {"x": FieldSpec("number", ("x", "y"))}
    model = Model(
        encoder={"first": MLP(widths=[6, 6]), "second": MLP(widths=[6, 6])},
        sharing=sharing,
        tasks=TASKS,
        sources={"a": "first", "b": "second"},
    ).build({"first": spec, "second": spec})
    wide_(model).eval()

    def batch(task: str, source: str) -> Batch:
        return Batch({"x": Field.dense(torch.randn(9, 2))}, {task: Field.dense(torch.randn(9, 1))}, source=source)

    first, second = batch("a", "first"), batch("b", "second")
    alone = {key: value for key, value in figures(model, first).items() if "/a" in key}
    alone |= {key: value for key, value in figures(model, second).items() if "/b" in key}
    with one_pass(once):
        model.losses([first, second])
    found = {key: value for key, value in model.usage().items() if "/a" in key or "/b" in key}
    assert found == pytest.approx(alone, rel=1e-5)
    assert any("/a" in key for key in found)
    assert {key for key in found if "/b" in key}


@every
def test_of_tasks_with_other_inputs(sharing: Any) -> None:
    torch.manual_seed(0)
    spec = {"p.x": FieldSpec("number", ("x",), group="p"), "q.y": FieldSpec("number", ("y", "z"), group="q")}

    encoder = Fused(inputs={"p": None, "q": None}, fusion=Fusion(width=6), trunk=MLP(widths=[6, 6]))
    model = Model(encoder=encoder, sharing=sharing, tasks=TASKS, inputs={"a": ["p"], "b": ["q"]}).build({"main": spec})
    wide_(model).eval()
    before = Batch({"p.x": Field.dense(torch.randn(9, 1)), "q.y": Field.dense(torch.randn(9, 2))})
    was = figures(model, before)
    for task, its, others in (("a", "p.x", "q.y"), ("b", "q.y", "p.x")):
        own = {key: value for key, value in was.items() if f"/{task}" in key}
        assert own
        for changed, same in ((others, True), (its, False)):
            field = Field.dense(3 * torch.randn(9, before.inputs[changed].values.shape[1]))
            now = figures(model, Batch({**before.inputs, changed: field}))
            assert (own == pytest.approx({key: now[key] for key in own}, rel=1e-5)) is same, (task, changed)
