"""Every encoder of tables, a stranger's small transformer and a toy convolutional one go through every sharing; what cannot be stacked is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cotrain.balance.engine import Engine
from cotrain.balance.nash_mtl import NashMTL
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.gallery import settings_of
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import loops_in
from cotrain.encoders.gallery import ENCODERS, NUMBERS
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

TASKS = [Binary("yes"), Regression("size")]
SHARINGS = pytest.mark.parametrize("sharing", [Hard(), Apart(), MMoE(experts=3, split=0), MMoE(experts=2)], ids=str)


def rows(kind: str, count: int = 6) -> tuple[dict[str, FieldSpec], Batch]:
    """(spec, batch): numbers with missing cells for "ft", pictures with unreal places for "toy_conv"."""
    targets = {
        "yes": Field(
            torch.tensor([1.0, 0, 1, 0, 1, 0])[:count], torch.tensor([True, True, False, True, True, True])[:count]
        ),
        "size": Field.dense(torch.randn(count, 1)),
    }
    if kind == "ft":
        valid = torch.rand(count, 4) > 0.2
        return {"x": FieldSpec("number", names=("a", "b", "c", "d"))}, Batch(
            {"x": Field.dense(torch.randn(count, 4), valid)}, targets
        )
    valid = torch.ones(count, 3, 8, 8, dtype=torch.bool)
    valid[0, :, :, 5:] = False
    return {"x": FieldSpec("image", shape=(3, 8, 8))}, Batch(
        {"x": Field.dense(torch.randn(count, 3, 8, 8), valid)}, targets
    )


def encoder(toys: SimpleNamespace, kind: str) -> object:
    return toys.FTTransformer() if kind == "ft" else toys.ToyConv()


@SHARINGS
@pytest.mark.parametrize("kind", ["ft", "toy_conv"])
def test_every_encoder_goes_through_every_sharing_and_learns(toys: SimpleNamespace, kind: str, sharing: Hard) -> None:
    spec, batch = rows(kind)
    model = Model(encoder=encoder(toys, kind), sharing=sharing, tasks=TASKS).build({"main": spec})  # type: ignore[arg-type]
    first = torch.stack(list(model.losses([batch]).values()))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(model.losses([batch]).values())).sum().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert torch.stack(list(model.losses([batch]).values())).sum() < 0.5 * first.sum()
    assert {name: tuple(one.shape) for name, one in model.eval().predict(batch).items()} == {
        "yes": (6, 1),
        "size": (6, 1),
    }
    json.dumps(model.structure())


def test_what_stays_a_loop_is_named_and_what_is_known_is_stacked(toys: SimpleNamespace) -> None:
    spec, _ = rows("ft")
    for split, loops in ((0, ["AttentionStage"]), (-1, [])):
        model = Model(encoder=toys.FTTransformer(), sharing=MMoE(experts=3, split=split), tasks=TASKS).build(
            {"main": spec}
        )
        assert list(loops_in(model)) == loops == model.structure()["loops"]
    spec, _ = rows("toy_conv")
    model = Model(encoder=toys.ToyConv(), sharing=MMoE(experts=3, split=0), tasks=TASKS).build({"main": spec})
    assert model.structure()["loops"] == []


def test_layouts_and_strides_reach_the_heads(toys: SimpleNamespace) -> None:
    spec, batch = rows("toy_conv")
    model = Model(encoder=toys.ToyConv(), tasks=TASKS).build({"main": spec})
    stages = model.structure()["stages"]["yes"]
    assert stages == [
        {"layout": "map", "width": 3, "stride": 1, "members": 1},
        {"layout": "map", "width": 4, "stride": 2, "members": 1},
        {"layout": "map", "width": 6, "stride": 4, "members": 1},
    ]
    signals = model.parts[0]("main", batch.inputs)["yes"]
    assert [tuple(one.values.shape[1:]) for one in signals] == [(3, 8, 8), (4, 4, 4), (6, 2, 2)]
    assert [tuple(one.mask.shape[1:]) for one in signals] == [(8, 8), (4, 4), (2, 2)]
    # places 5-7 of row 0 are unreal: of four coarse columns the last is, of two none
    assert signals[1].mask[0, 0].tolist() == [True, True, True, False]
    assert signals[2].mask[0, 0].tolist() == [True, True]


@pytest.mark.parametrize("sharing", [Hard(), MMoE(experts=3, split=0)], ids=str)
def test_what_is_not_real_reaches_neither_outputs_nor_gradients(toys: SimpleNamespace, sharing: Hard) -> None:
    spec, batch = rows("ft")
    model = Model(encoder=toys.FTTransformer(), sharing=sharing, tasks=TASKS).build({"main": spec})
    field = batch.inputs["x"]
    assert field.valid is not None
    other = torch.where(field.valid, field.values, torch.full_like(field.values, 1e3))
    changed = Batch({"x": Field.dense(other, field.valid)}, batch.targets)
    grads = []
    for one in (batch, changed):
        model.zero_grad()
        torch.stack(list(model.losses([one]).values())).sum().backward()
        grads.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    for name, output in model.eval().predict(batch).items():
        torch.testing.assert_close(output, model.predict(changed)[name])


def test_mmoe_over_looped_stages_is_the_gated_sum_of_each_expert_run_alone(toys: SimpleNamespace) -> None:
    spec, batch = rows("ft")
    model = Model(encoder=toys.FTTransformer(), sharing=MMoE(experts=3, split=0), tasks=TASKS).build({"main": spec})
    sharing = model.parts[0].sharing
    embedded = next(iter(model.parts[0].encoders.values())).embed(batch.inputs)
    attention, tokenwise = sharing.experts
    alone = []
    for expert in range(3):
        signal = attention.copies[expert](embedded)
        norm, linear, act = tokenwise.layers
        values = nn.functional.layer_norm(signal.values, (8,)) * norm.weight[expert] + norm.bias[expert]
        alone.append(act(values @ linear.weight[expert].T + linear.bias[expert]))
    for task in ("yes", "size"):
        gate = torch.softmax(embedded.pooled() @ sharing.gate(task).weight.T, -1)
        expected = sum(gate[:, expert, None, None] * alone[expert] for expert in range(3))
        signal: Signal = sharing(embedded)[task][-1]
        torch.testing.assert_close(signal.values, expected)
        assert signal.mask is embedded.mask
        assert signal.layout == "sequence"


SMALL: dict[str, dict[str, object]] = {
    "mlp": {"widths": [16, 16], "dropout": 0.0},
    "resnet": {"width": 16, "dropout": 0.0},
    "ft_transformer": {"width": 16, "heads": 2, "blocks": 2, "attention_dropout": 0.0, "dropout": 0.0},
    "tabm": {"members": 3, "widths": [16, 16], "dropout": 0.0},
}
QUANTILES = ((-2.0, -0.5, 0.5, 2.0), (0.0, 1.0), (-1.0, 0.0, 1.0))
TABLES = {
    "all": {
        "numbers": FieldSpec("number", names=("a", "flag", "b"), quantiles=QUANTILES),
        "words": FieldSpec("bag", names=("the", "cat")),
        "categories": FieldSpec("category", names=("c", "d"), cardinalities=(5, 40)),
    },
    "no quantiles": {"numbers": FieldSpec("number", names=("a", "flag", "b"))},
    "one column": {"numbers": FieldSpec("number", names=("a",), quantiles=QUANTILES[:1])},
    "categories only": {"categories": FieldSpec("category", names=("c", "d"), cardinalities=(5, 40))},
    "bag only": {"words": FieldSpec("bag", names=("the", "cat"))},
}


def table(spec: dict[str, FieldSpec], count: int = 12) -> Batch:
    """Rows for a table's specification, with missing numbers."""
    inputs: dict[str, Field] = {}
    for name, one in spec.items():
        if one.kind == "category":
            inputs[name] = Field.dense(torch.stack([torch.randint(size, (count,)) for size in one.cardinalities], 1))
        else:
            valid = torch.rand(count, len(one.names)) > 0.2
            valid[0] = False
            inputs[name] = Field.dense(torch.randn(count, len(one.names)), valid if one.kind == "number" else None)
    targets = {"yes": Field.dense((torch.arange(count) % 2).float()), "size": Field.dense(torch.randn(count, 1))}
    return Batch(inputs, targets)


def of_gallery(kind: str, numbers: str = "linear") -> object:
    return ENCODERS[kind](**SMALL[kind], numbers=NUMBERS[numbers]())


def test_every_encoder_of_tables_is_in_this_table() -> None:
    assert set(SMALL) == {name for name, cls in ENCODERS.items() if "numbers" in settings_of(cls)}


@pytest.mark.parametrize("numbers", list(NUMBERS))
@pytest.mark.parametrize("kind", list(SMALL))
def test_every_table_and_number_embedding_goes_through_every_encoder(kind: str, numbers: str) -> None:
    for spec in TABLES.values():
        batch = table(spec)
        model = Model(encoder=of_gallery(kind, numbers), tasks=TASKS).build({"main": spec})  # type: ignore[arg-type]
        part = model.parts[0]
        signal = next(iter(part.encoders.values())).embed(batch.inputs)
        shapes = part.shapes["yes"]
        for stage, shape in zip([None, *part.sharing.stages], shapes, strict=True):
            signal = signal if stage is None else stage(signal)
            assert (signal.layout, signal.values.shape[-1], signal.members) == (
                shape.layout,
                shape.width,
                shape.members,
            )
            assert len(signal.values) == 12 * shape.members
        torch.stack(list(model.losses([batch]).values())).sum().backward()
        assert [name for name, one in model.named_parameters() if one.grad is None] == []
        assert all(output.shape == (12, 1) for output in model.eval().predict(batch).values())
        json.dumps(model.structure())


@SHARINGS
@pytest.mark.parametrize("kind", list(SMALL))
def test_every_encoder_of_tables_goes_through_every_sharing_and_learns(kind: str, sharing: Hard) -> None:
    spec = TABLES["all"]
    torch.manual_seed(0)
    batch = table(spec)
    model = Model(encoder=of_gallery(kind, "piecewise_linear"), sharing=sharing, tasks=TASKS).build({"main": spec})  # type: ignore[arg-type]
    assert model.structure()["loops"] == []
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    first = torch.stack(list(model.losses([batch]).values())).detach().sum()
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses([batch]).values())).sum().backward()
        optimizer.step()
    assert torch.stack(list(model.losses([batch]).values())).detach().sum() < 0.5 * first


@pytest.mark.parametrize("kind", list(SMALL))
def test_an_encoder_begins_alike_from_one_seed_and_comes_back_from_its_state(kind: str) -> None:
    spec, found = TABLES["all"], []
    batch = table(spec)
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(Model(encoder=of_gallery(kind, "periodic"), tasks=TASKS).build({"main": spec}).eval())  # type: ignore[arg-type]
    same, again, other = (model.predict(batch)["yes"] for model in found)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    found[2].load_state_dict(found[0].state_dict())
    assert torch.equal(found[2].predict(batch)["yes"], same)


@pytest.mark.parametrize("kind", list(SMALL))
def test_sources_of_different_columns_meet_in_one_space(kind: str) -> None:
    specs = {"left": TABLES["all"], "right": TABLES["one column"]}
    model = Model(encoder=of_gallery(kind), tasks=TASKS).build(specs)  # type: ignore[arg-type]
    for source, spec in specs.items():
        rows = table(spec)
        batch = Batch(rows.inputs, rows.targets, source=source)
        assert set(model.losses([batch])) == {"yes", "size"}
        assert model.predict(batch)["size"].shape == (12, 1)


@pytest.mark.parametrize("kind", list(SMALL))
def test_an_encoder_of_tables_says_which_inputs_it_cannot_read(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"encoder '{kind}' reads numbers, .*input 'photo' is of kind 'image'"):
        of_gallery(kind).build({"photo": FieldSpec("image")})  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=f"encoder '{kind}' was given no usable input column"):
        of_gallery(kind).build({})  # type: ignore[attr-defined]


@pytest.mark.parametrize("sharing", [Hard(), MMoE(experts=2, split=0)], ids=str)
@pytest.mark.parametrize("kind", list(SMALL))
def test_the_engine_sees_each_tasks_own_gradient_in_every_encoder(kind: str, sharing: Hard) -> None:
    spec = TABLES["all"]
    batch = table(spec)
    model = (
        Model(encoder=of_gallery(kind, "piecewise_linear"), sharing=sharing, tasks=TASKS).build({"main": spec}).double()
    )  # type: ignore[arg-type]
    parameters = list(model.parts.parameters())
    found = [
        torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for loss in model.losses([batch]).values()
    ]
    common = [pair for pair in zip(*found, strict=True) if all(one is not None for one in pair)]
    assert len(common) >= len(parameters) - 2  # a gate belongs to its own task
    rows_of = torch.stack([torch.cat([pair[task].reshape(-1) for pair in common]) for task in range(2)])
    expected = rows_of @ rows_of.t()
    for chunk in (None, 1):
        engine = Engine(model.parts, NashMTL(), chunk=chunk, tasks=list(model.tasks))
        report = engine.backward(model.losses([batch]))
        assert report.gramian is not None
        torch.testing.assert_close(report.gramian, expected)
    model.zero_grad()
    features = Engine(model.parts, NashMTL(), mode="features", tasks=list(model.tasks))
    assert set(features.backward(model.losses([batch])).weights) == {"yes", "size"}
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in model.parameters())
