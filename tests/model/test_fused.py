"""Several inputs of a row: each with an encoder of its own, fused, missing ones masked exactly; tasks that read some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.naming import slot
from cotrain.core.spec import FieldSpec
from cotrain.encoders.ft_transformer import FTTransformer
from cotrain.encoders.mlp import MLP
from cotrain.encoders.resnet import ResNet
from cotrain.encoders.tabm import TabM
from cotrain.model.compose import Model
from cotrain.model.fused import Fused, FusedEncoder
from cotrain.model.fusion import Fusion, FusionName
from cotrain.model.partition import Part
from cotrain.sharing.apart import Apart
from cotrain.sharing.cascade import Cascade
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

SPECS = {
    "a.numbers": FieldSpec("number", ("a1", "a2"), group="a"),
    "b.numbers": FieldSpec("number", ("b1", "b2", "b3"), group="b"),
    "c.numbers": FieldSpec("number", ("c1",), group="c"),
}
NAMES: tuple[FusionName, ...] = ("concat", "gate", "mean")


def fields(rows: int = 6, present: Mapping[str, Tensor] | None = None) -> dict[str, Field]:
    widths = {"a": 2, "b": 3, "c": 1}
    every = torch.ones(rows, dtype=torch.bool)
    return {
        f"{name}.numbers": Field(torch.randn(rows, width), (present or {}).get(name, every))
        for name, width in widths.items()
    }


def settings(name: FusionName = "concat", **more: Any) -> Fused:
    inputs = {"a": MLP(widths=[5], dropout=0.0), "b": MLP(widths=[7, 4], dropout=0.0), "c": None}
    return Fused(inputs=inputs, fusion=Fusion(name=name, width=8, **more), trunk=MLP(widths=[6], dropout=0.0))


def encoder(name: FusionName = "concat", **more: Any) -> FusedEncoder:
    torch.manual_seed(0)
    built = settings(name, **more).build(SPECS)
    with torch.no_grad():
        for parameter in built.fusion.parameters():
            parameter.normal_()
    return built


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_a_missing_input_reaches_neither_output_nor_gradient(name: FusionName) -> None:
    net = encoder(name)
    present = {"a": torch.tensor([True, False, True, False, True, True]), "c": torch.tensor([True] + [False] * 5)}
    rows = fields(present=present)
    first = net.embed(rows).values
    other = dict(rows)
    for key in ("a", "c"):
        one = rows[f"{key}.numbers"]
        filler = torch.where(one.present.unsqueeze(1), one.values, torch.tensor(1e6))
        other[f"{key}.numbers"] = Field(filler.requires_grad_(), one.present)
    second = net.embed(other).values
    assert torch.equal(first, second)
    second.square().sum().backward()
    for key in ("a", "c"):
        gradient = other[f"{key}.numbers"].values.grad
        assert gradient is not None
        assert not gradient[~present[key]].any()
        assert gradient[present[key]].any()


def test_fillers_of_missing_inputs_do_not_reach_the_figures_of_a_batch_norm() -> None:
    torch.manual_seed(0)
    inputs = {"a": MLP(widths=[4], norm="batch", dropout=0.0), "b": None, "c": None}
    net = Fused(inputs=inputs, fusion=Fusion(width=4)).build(SPECS)
    for rows in (torch.tensor([True] * 3 + [False] * 3), torch.tensor([True] + [False] * 5)):
        found = fields(present={"a": rows})
        found["a.numbers"].values[~rows] = 1e6
        assert bool(net.embed(found).values.isfinite().all())
    norm = next(layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm1d))
    assert float(norm.running_mean.abs().max()) < 10  # type: ignore[union-attr]


def test_concat_is_one_linear_layer_over_the_inputs_side_by_side() -> None:
    net = encoder("concat")
    rows = fields()
    sides, weights, bias = [], [], torch.zeros(8)
    for name in "abc":
        path = net.paths[slot(name)]
        signal = path.encoder.embed(rows)  # type: ignore[union-attr, operator]
        for stage in path.encoder.stages:  # type: ignore[union-attr]
            signal = stage(signal)
        sides.append(signal.values)
        weights.append(path.linear.weight)  # type: ignore[union-attr]
        bias = bias + path.linear.bias  # type: ignore[union-attr, operator]
    whole = torch.cat(sides, 1) @ torch.cat(weights, 1).t() + bias
    torch.testing.assert_close(net.embed(rows).values, whole)


def test_a_gate_begins_as_the_mean_of_what_is_there_and_its_shares_add_up_to_one() -> None:
    torch.manual_seed(0)
    gate = Fusion(name="gate", width=4).build(3)
    vectors = torch.randn(5, 3, 4)
    held = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)
    zeroed = torch.where(held.unsqueeze(-1), vectors, torch.zeros(()))
    expected = torch.tanh(zeroed).sum(1) / held.sum(1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(gate(vectors, held, range(3)), expected)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.normal_()
    shares = gate.shares(torch.tanh(zeroed), held.unsqueeze(-1), range(3))  # type: ignore[operator]
    torch.testing.assert_close(shares.sum(1)[held.any(1)], torch.ones(4, 4))
    assert not shares[~held].any()


def test_the_gate_is_the_published_one_for_two_inputs() -> None:
    """Arevalo et al., equation for two modalities: h = z tanh(v_1) + (1 - z) tanh(v_2), z a sigmoid."""
    torch.manual_seed(0)
    gate = Fusion(name="gate", width=4).build(2)
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter.normal_()
    vectors = torch.randn(3, 2, 4)
    each = torch.tanh(vectors)
    size = 8
    weight, bias = gate.weight.reshape(size, size), gate.bias.flatten()  # type: ignore[operator, union-attr]
    scores = (each.flatten(1) @ weight.t() + bias).view(3, 2, 4)
    z = torch.sigmoid(scores[:, 0] - scores[:, 1])
    torch.testing.assert_close(gate(vectors, None, range(2)), z * each[:, 0] + (1 - z) * each[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_a_set_of_inputs_is_seen_as_if_there_were_no_other(name: FusionName) -> None:
    net = encoder(name)
    rows = fields()
    some = net.fused(net.vectors(rows, ("a", "b")), ("a", "b")).values
    shaken = {**rows, "c.numbers": Field.dense(torch.full((6, 1), 1e5))}
    torch.testing.assert_close(net.fused(net.vectors(shaken), ("a", "b")).values, some)
    if name == "mean":
        single = [net.fused(net.vectors(rows), (one,)).values for one in ("a", "b")]
        torch.testing.assert_close((single[0] + single[1]) / 2, some)


def test_inputs_are_left_out_at_the_given_rate_in_training_only_and_never_all_of_a_row() -> None:
    torch.manual_seed(0)
    fusing = Fusion(name="mean", width=1, dropout=0.4).build(2)
    vectors = torch.tensor([1.0, 2.0]).view(1, 2, 1).expand(4000, 2, 1)
    values, counts = fusing(vectors, None, range(2)).flatten().unique(return_counts=True)
    assert values.tolist() == [1.0, 1.5, 2.0]
    assert abs(float(counts[1]) / 4000 - 0.36) < 0.03
    fusing.eval()
    assert fusing(vectors, None, range(2)).unique().tolist() == [1.5]
    alone = torch.tensor([[True, False]]).expand(4000, 2)
    assert fusing.train()(vectors, alone, range(2)).unique().tolist() == [1.0]


# --------------------------------------------------------------------------------------------------------- tasks' own inputs


TARGETS = {"x": Field.dense(torch.ones(6, 1)), "y": Field.dense(torch.zeros(6, 1))}


def model(sharing: Any = None, reads: Any = None, **more: Any) -> Model:
    torch.manual_seed(0)
    tasks = [Binary("x"), Regression("y")]
    return Model(encoder=settings(**more), sharing=sharing, tasks=tasks, inputs=reads).build({"main": SPECS})


@pytest.mark.parametrize("sharing", [Hard(), MMoE(experts=2), Apart()], ids=lambda one: one.name)
@pytest.mark.parametrize("name", NAMES)
def test_a_task_sees_its_own_inputs_only(sharing: Any, name: FusionName) -> None:
    net = model(sharing, {"x": ["a", "b"], "y": ["c"]}, name=name).eval()
    rows = fields()
    before = net(Batch(rows))
    after = net(Batch({**rows, "c.numbers": Field.dense(torch.randn(6, 1))}))
    assert torch.equal(before["x"], after["x"])
    assert not torch.equal(before["y"], after["y"])
    after = net(Batch({**rows, "a.numbers": Field.dense(torch.randn(6, 2))}))
    assert not torch.equal(before["x"], after["x"])
    assert torch.equal(before["y"], after["y"])


@pytest.mark.parametrize("tell", ["features", "predictions"])
def test_a_cascade_among_tasks_of_one_set_of_inputs_tells_what_they_alone_have_seen(tell: Any) -> None:
    torch.manual_seed(0)
    sharing = Cascade(feeds={"y": ("x",)}, tell=tell)
    tasks = [Binary("x"), Regression("y"), Regression("z")]
    reads = {"x": ["a", "b"], "y": ["b", "a"], "z": ["c"]}
    net = Model(encoder=settings(), sharing=sharing, tasks=tasks, inputs=reads).build({"main": SPECS}).eval()
    with torch.no_grad():
        for parameter in net.parts.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    rows = fields()
    before = net.predict(Batch(rows))
    after = net.predict(Batch({**rows, "c.numbers": Field.dense(torch.randn(6, 1))}))
    assert all(torch.equal(before[name], after[name]) for name in ("x", "y"))
    assert not torch.equal(before["z"], after["z"])
    heads: Any = net.heads[slot("x")]
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.add_(1.0)
    told = net.predict(Batch(rows))
    assert torch.equal(told["y"], before["y"]) is (tell == "features")
    assert torch.equal(told["z"], before["z"])


def test_an_encoder_runs_once_however_many_tasks_read_its_input_and_not_for_tasks_without_labels() -> None:
    net = model(None, {"x": ["a", "b"], "y": ["a", "c"]})
    ran: list[str] = []
    part: Any = net.parts[0]
    for key, path in part.encoders[slot("main")].paths.items():
        path.register_forward_hook(lambda *_, key=key: ran.append(key))
    net.losses([Batch(fields(), TARGETS)])
    assert sorted(ran) == [slot("a"), slot("b"), slot("c")]
    ran.clear()
    net.losses([Batch(fields(), {"x": TARGETS["x"]})])
    assert sorted(ran) == [slot("a"), slot("b")]


def test_tasks_that_name_every_input_are_as_tasks_that_name_none() -> None:
    rows = Batch(fields(), TARGETS)
    plain, named = model(), model(None, {"x": ["a", "b", "c"], "y": ["c", "b", "a"]})
    first, second = plain.losses([rows]), named.losses([rows])
    assert all(torch.equal(first[name], second[name]) for name in ("x", "y"))


def test_an_input_that_no_task_of_a_network_reads_is_not_built() -> None:
    alone = Model(encoder=settings(), tasks=[Binary("x")], inputs={"x": ["a"]}).build({"main": SPECS})
    part = alone.parts[0]
    assert isinstance(part, Part)
    assert list(part.encoders[slot("main")].paths) == [slot("a")]  # type: ignore[union-attr, arg-type]
    apart = model(Apart(), {"x": ["a"], "y": ["b"]})
    assert [list(one.encoders[slot("main")].paths) for one in apart.parts] == [[slot("a")], [slot("b")]]  # type: ignore[union-attr, index]


def test_sources_together_go_through_one_encoder_and_others_through_their_own() -> None:
    tasks = [Binary("x"), Regression("y"), Regression("z")]
    specs = {"x": FieldSpec("number", ("p", "q"))}
    other = {"x": FieldSpec("number", ("r",))}
    net = Model(
        encoder=MLP(widths=[4], dropout=0.0),
        tasks=tasks,
        sources={"x": "one", "y": "two", "z": "three"},
        together=[("one", "two")],
    ).build({"one": specs, "two": specs, "three": other})
    part: Any = net.parts[0]
    assert list(part.encoders) == [slot("one"), slot("three")]
    rows = Field.dense(torch.randn(6, 2))
    net.eval()
    signals = [part(source, {"x": rows})["x"][-1].values for source in ("one", "two")]
    assert torch.equal(*signals)
    assert set(net(Batch({"x": rows}, source="two"))) == {"y"}
    losses = net.losses(
        [
            Batch({"x": rows}, {"x": TARGETS["x"]}, source="one"),
            Batch({"x": Field.dense(torch.randn(6, 1))}, {"z": TARGETS["y"]}, source="three"),
        ]
    )
    assert set(losses) == {"x", "z"}


def test_mistakes_name_the_input_and_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match="task 'x': unknown input 'd'"):
        model(None, {"x": ["d"]})
    with pytest.raises(ConfigError, match="needs an encoder for each input"):
        Model(encoder=MLP(), tasks=[Binary("x")], inputs={"x": ["a"]}).build({"main": SPECS})
    with pytest.raises(ConfigError, match=r"cascade\.feeds: task 'x' is told about 'y', but they read other inputs"):
        model(Cascade(feeds={"x": ("y",)}), {"x": ["a"], "y": ["b"]})
    with pytest.raises(ConfigError, match="ensemble inside the encoder of one input"):
        Fused(inputs={"a": TabM(), "b": None, "c": None}).build(SPECS)
    with pytest.raises(ConfigError, match="`encoder:` gives the shared stages on the fused vector"):
        Fused(inputs={"a": None}, trunk=FTTransformer()).build({"a.numbers": SPECS["a.numbers"]})
    with pytest.raises(ConfigError, match="input 'd' has no field"):
        Fused(inputs={"d": None}).build(SPECS)
    with pytest.raises(ConfigError, match="a field of kind 'image' needs an encoder of its own; write photo:"):
        Fused(inputs={"photo": None}).build({"photo": FieldSpec("image", shape=(3, 8, 8))})
    with pytest.raises(ConfigError, match=r"fusion\.dropout must lie in"):
        Fusion(dropout=1.0)
    with pytest.raises(ConfigError, match=r"fusion\.name: unknown fusion 'gates'.*'gate'"):
        Fusion(name="gates")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"input 'c' reads the field 'c\.numbers', which the batch lacks"):
        encoder().embed({key: one for key, one in fields().items() if key != "c.numbers"})


@pytest.mark.parametrize("trunk", [ResNet(blocks=1, width=8), TabM(widths=[8], members=2)], ids=lambda one: one.name)
def test_other_trunks_of_tables_take_the_fused_vector(trunk: Any) -> None:
    net = Model(
        encoder=Fused(inputs={"a": None, "b": None}, fusion=Fusion(width=4), trunk=trunk),
        tasks=[Binary("x"), Regression("y")],
        inputs={"x": ["a"]},
    ).build({"main": SPECS})
    losses = net.losses([Batch(fields(), TARGETS)])
    torch.stack(list(losses.values())).sum().backward()
    assert all(bool(one.isfinite()) for one in losses.values())
