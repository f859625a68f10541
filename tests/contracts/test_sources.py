"""Lists of batches from two sources of different widths: each source has its own way into the same space."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.mlp import MLP
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

TASKS = [Binary("sick", source="clinic"), Regression("steps", source="watch"), Regression("age")]


def spec(width: int) -> dict[str, FieldSpec]:
    return {"x": FieldSpec("number", names=tuple("abcdefgh"[:width]))}


def step(clinic: int = 5, watch: int = 3) -> list[Batch]:
    return [
        Batch(
            {"x": Field.dense(torch.randn(7, clinic))},
            {"sick": Field.dense((torch.rand(7) > 0.5).float()), "age": Field.dense(torch.randn(7, 1))},
            source="clinic",
        ),
        Batch(
            {"x": Field.dense(torch.randn(4, watch))},
            {"steps": Field.dense(torch.randn(4, 1)), "age": Field.dense(torch.randn(4, 1))},
            source="watch",
        ),
    ]


@pytest.mark.parametrize("widths", [(5, 3), (4, 4)], ids=["different", "equal"])
def test_each_source_has_weights_of_its_own_and_the_stages_are_common(widths: tuple[int, int]) -> None:
    model = Model(encoder=MLP(widths=[6], dropout=0.0), tasks=TASKS)
    model.build({"clinic": spec(widths[0]), "watch": spec(widths[1])})
    clinic, watch = step(*widths)
    model.losses([clinic])["sick"].backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    model.losses([watch])["steps"].backward()
    other = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name for name in reached if "encoders.of_clinic" in name}
    assert not {name for name in reached if "encoders.of_watch" in name}
    assert (
        {name for name in reached & other if "sharing.stages" in name}
        == {name for name in reached | other if "sharing.stages" in name}
        != set()
    )


@pytest.mark.parametrize("sharing", [Hard(), Apart(), MMoE(experts=2, split=0)], ids=str)
def test_a_task_of_both_sources_divides_all_sums_by_all_counts(sharing: Hard) -> None:
    model = Model(encoder=MLP(widths=[6], dropout=0.0), sharing=sharing, tasks=TASKS)
    model.build({"clinic": spec(5), "watch": spec(3)})
    batches = step()
    losses = model.losses(batches)
    assert list(losses) == ["sick", "steps", "age"]
    parts = [model.losses([batch])["age"] for batch in batches]
    torch.testing.assert_close(losses["age"], (7 * parts[0] + 4 * parts[1]) / 11)
    assert float(model.counts(batches)["age"]) == 11


def test_only_the_tasks_of_a_source_are_predicted_for_it() -> None:
    model = Model(encoder=MLP(widths=[6]), tasks=TASKS).build({"clinic": spec(5), "watch": spec(3)})
    for mode in (True, False):
        model.train(mode)
        found = [list(model.predict(Batch(batch.inputs, source=batch.source))) for batch in step()]
        assert found == [["sick", "age"], ["steps", "age"]]


def test_where_nothing_is_shared_a_task_has_the_encoders_of_its_own_sources_only() -> None:
    model = Model(encoder=MLP(widths=[6]), sharing=Apart(), tasks=TASKS).build({"clinic": spec(5), "watch": spec(3)})
    assert [part.sources for part in model.parts] == [["clinic"], ["watch"], ["clinic", "watch"]]


def test_sources_may_bring_different_kinds_of_encoder(toys: SimpleNamespace) -> None:
    encoders = {"clinic": toys.FTTransformer(width=8), "watch": toys.FTTransformer(width=4)}
    model = Model(encoder=encoders, tasks=TASKS).build({"clinic": spec(5), "watch": spec(3)})
    torch.stack(list(model.losses(step()).values())).sum().backward()
    assert {shape.width for shapes in model.parts[0].shapes.values() for shape in shapes} == {8}


def test_encoders_that_cannot_meet_are_refused(toys: SimpleNamespace) -> None:
    encoders = {"clinic": MLP(widths=[6]), "watch": toys.FTTransformer()}
    with pytest.raises(ConfigError, match="must meet in one space"):
        Model(encoder=encoders, tasks=TASKS).build({"clinic": spec(5), "watch": spec(3)})
    with pytest.raises(ConfigError, match="go the same way"):
        Model(encoder={"clinic": MLP(widths=[6]), "watch": MLP(widths=[7])}, tasks=TASKS).build(
            {"clinic": spec(5), "watch": spec(3)}
        )


def test_unknown_sources_are_named() -> None:
    model = Model(encoder=MLP(widths=[6]), tasks=[Regression("age")]).build({"clinic": spec(5)})
    with pytest.raises(DataError, match="no encoder for source 'watch', known: clinic"):
        model(Batch(step()[1].inputs, {"age": step()[1].targets["age"]}, source="watch"))
    with pytest.raises(ConfigError, match="unknown source 'watch'"):
        Model(encoder=MLP(widths=[6]), tasks=TASKS).build({"clinic": spec(5)})
    with pytest.raises(ConfigError, match="no encoder for source"):
        Model(encoder={"clinic": MLP()}, tasks=[Regression("age")]).build({"clinic": spec(5), "watch": spec(3)})
