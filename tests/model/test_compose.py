"""Model: built once it knows its inputs, from settings or a first batch; names, state, structure and refusals."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec, Task
from cotrain.core.state import flatten, unflatten
from cotrain.encoders.mlp import MLP
from cotrain.heads.mlp import MLPHead
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.multiclass import Multiclass
from cotrain.tasks.regression import Regression

SHARINGS = pytest.mark.parametrize("sharing", [Hard(), Apart(), MMoE(experts=3)], ids=lambda one: one.name)


def tasks() -> list[Task]:
    return [Binary("yes"), Multiclass("which", classes=3), Regression("size", weight=0.5)]


def batch(rows: int = 8) -> Batch:
    return Batch(
        {"x": Field.dense(torch.randn(rows, 4))},
        {
            "yes": Field.dense((torch.rand(rows) > 0.5).float()),
            "which": Field.dense(torch.randint(3, (rows,))),
            "size": Field.dense(torch.randn(rows, 1)),
        },
    )


def network(sharing: Any = None, **options: Any) -> Model:
    return Model(encoder=MLP(widths=[6, 5], dropout=0.0), sharing=sharing, tasks=tasks(), **options)


@SHARINGS
def test_a_first_batch_and_a_spec_build_the_same_network(sharing: Any) -> None:
    first = batch()
    torch.manual_seed(1)
    met = network(sharing).meet(first)
    torch.manual_seed(1)
    built = network(sharing).build({"main": {"x": FieldSpec("number", names=tuple("abcd"))}})
    assert met.built
    assert met.meet(first) is met
    for (name, a), (other, b) in zip(met.state_dict().items(), built.state_dict().items(), strict=True):
        assert name == other
        assert name.endswith("_extra_state") or torch.equal(a, b)
    assert {name: tuple(one.shape) for name, one in met.eval()(first).items()} == {
        "yes": (8, 1),
        "which": (8, 3),
        "size": (8, 1),
    }


def test_layers_that_are_not_there_yet_are_not_run_silently() -> None:
    for use in (
        lambda m: m(batch()),
        lambda m: m.predict(batch()),
        lambda m: m.losses([batch()]),
        lambda m: m.structure(),
    ):
        with pytest.raises(ConfigError, match=r"call model\.build"):
            use(network())


def test_nothing_is_shared_where_nothing_is_to_be_shared() -> None:
    model = network(Apart()).meet(batch())
    reached: dict[str, set[str]] = {}
    for name, loss in model.losses([batch()]).items():
        model.zero_grad(set_to_none=True)
        loss.backward(retain_graph=True)
        reached[name] = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    assert set.union(*reached.values()) == {key for key, _ in model.named_parameters()}
    names = list(reached)
    assert all(not reached[a] & reached[b] for a in names for b in names if a != b)
    sizes = model.structure()["parameters"]
    single = Model(encoder=MLP(widths=[6, 5]), tasks=[Binary("yes")]).meet(replace(batch(), targets={}))
    assert sizes["shared"] == 3 * single.structure()["parameters"]["shared"]


@SHARINGS
def test_a_task_alone_learns_the_same_beside_others_where_nothing_is_shared_and_not_where_it_is(sharing: Any) -> None:
    model, rows = network(sharing).meet(batch()), batch()
    alone = replace(rows, targets={"yes": rows.targets["yes"]})
    parameters = [one for name, one in model.named_parameters() if name.startswith("parts.0")]
    joint = torch.autograd.grad(torch.stack(list(model.losses([rows]).values())).sum(), parameters)
    single = torch.autograd.grad(model.losses([alone])["yes"], parameters, allow_unused=True)
    same = all(b is not None and torch.allclose(a, b) for a, b in zip(joint, single, strict=True))
    assert same == (sharing.name == "none")


NAMES = ["values", "a.b", "training", "forward", "keys", "50% of x", "ü", "heads", "modules", "parameters", "_"]


@SHARINGS
def test_tasks_may_have_any_name(sharing: Any) -> None:
    kinds = [Regression(name) for name in NAMES]
    rows = Batch(
        {"a.x": Field.dense(torch.randn(5, 2))}, {name: Field.dense(torch.randn(5, 1)) for name in NAMES}, source="s.1"
    )
    model = Model(encoder=MLP(widths=[4]), sharing=sharing, tasks=kinds).meet(rows)
    assert list(model.losses([rows])) == list(model.eval().predict(rows)) == NAMES
    twin = Model(encoder=MLP(widths=[4]), sharing=sharing, tasks=kinds).meet(rows).eval()
    twin.load_state_dict(model.state_dict())
    for name, output in model.predict(rows).items():
        assert torch.equal(twin.predict(rows)[name], output)


@SHARINGS
def test_state_comes_back_through_named_tensors_scales_included(sharing: Any) -> None:
    rows = batch()
    model = network(sharing).meet(rows)
    model.set_scales({"yes": 0.25, "size": 2.0})
    tensors, tree = flatten(model.state_dict())
    twin = network(sharing).meet(rows)
    twin.load_state_dict(unflatten(tensors, json.loads(json.dumps(tree))))
    assert twin.scales == model.scales == {"yes": 0.25, "which": 1.0, "size": 2.0}
    for name, loss in model.losses([rows]).items():
        assert torch.equal(twin.losses([rows])[name], loss)
    assert copy.deepcopy(model).scales == model.scales


def test_losses_are_weighted_and_divided_by_their_scales() -> None:
    rows, model = batch(), network().meet(batch())
    before = model.losses([rows])
    model.set_scales({"size": 4.0, "yes": 0.5})
    after = model.losses([rows])
    torch.testing.assert_close(after["size"], before["size"] / 4)
    torch.testing.assert_close(after["yes"], before["yes"] * 2)
    mean = torch.nn.functional.mse_loss(model(rows)["size"], rows.targets["size"].values)
    torch.testing.assert_close(after["size"], 0.5 * mean / 4)


@pytest.mark.parametrize("wrong", [{"size": 0.0}, {"size": float("nan")}, {"size": -1.0}, {"sice": 1.0}])
def test_scales_that_cannot_be_are_refused_and_none_is_set(wrong: dict[str, float]) -> None:
    model = network()
    with pytest.raises(ConfigError):
        model.set_scales({"yes": 7.0, **wrong})
    assert set(model.scales.values()) == {1.0}


def test_counts_replace_the_denominator() -> None:
    rows, model = batch(), network().meet(batch())
    counts = {name: 3 * count for name, count in model.counts([rows]).items()}
    for name, loss in model.losses([rows], counts).items():
        torch.testing.assert_close(loss, model.losses([rows])[name] / 3)
    assert list(model.losses([rows], {"yes": torch.tensor(8.0)})) == ["yes"]
    assert {float(count) for count in model.counts([rows, rows]).values()} == {16.0}
    with pytest.raises(DataError, match="targets for 'no'"):
        model.counts([replace(rows, targets={"no": rows.targets["yes"]})])


def test_while_training_only_tasks_with_targets_run_and_predictions_are_for_all() -> None:
    rows, model = batch(), network().meet(batch())
    some = replace(rows, targets={"size": rows.targets["size"]})
    assert list(model(some)) == ["size"]
    assert list(model.predict(some)) == list(model.eval()(some)) == ["yes", "which", "size"]


def test_structure_is_json_and_adds_up() -> None:
    model = network(MMoE(experts=3)).meet(batch())
    found = json.loads(json.dumps(model.structure()))
    assert found["tasks"]["size"] == {
        "kind": "regression",
        "columns": ["size"],
        "outputs": 1,
        "weight": 0.5,
        "primary": "rmse",
    }
    sizes = found["parameters"]
    assert (
        sizes["total"]
        == sum(one.numel() for one in model.parameters())
        == sizes["shared"] + sum(sizes["heads"].values())
    )
    assert sizes["shared"] == sum(one.numel() for one in model.shared_parameters())
    assert found["loops"] == []
    assert found["stages"]["yes"][-1] == {"layout": "vector", "width": 5, "stride": 1, "members": 1}


def test_a_tasks_own_head_comes_before_the_models() -> None:
    kinds = [Binary("a", head=MLPHead(widths=[3])), Binary("b")]
    model = Model(encoder=MLP(widths=[4]), tasks=kinds, head=MLPHead(widths=[9])).build(
        {"main": {"x": FieldSpec("number", names=("x",))}}
    )
    widths = [
        [layer.out_features for layer in head.modules() if isinstance(layer, nn.Linear)]
        for head in model.heads.values()
    ]
    assert widths == [[3, 1], [9, 1]]


def test_tables_in_double_precision_are_read_by_single_precision_layers() -> None:
    rows = batch()
    double = replace(rows, inputs={"x": Field.dense(rows.inputs["x"].values.double())})
    model = network().meet(double)
    assert all(loss.isfinite() for loss in model.losses([double]).values())
    torch.testing.assert_close(model(double)["size"], model(rows)["size"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model(tasks=tasks()), "either encoder= or trunk="),
        (lambda: Model(tasks=tasks(), encoder=MLP(), trunk=nn.Linear(2, 2)), "and not both"),
        (lambda: Model(tasks=[], encoder=MLP()), "at least one task"),
        (lambda: Model(tasks=[Binary("a"), Regression("a")], encoder=MLP()), "every name once"),
        (
            lambda: Model(tasks=tasks(), encoder=MLP(), stages=[nn.Linear(2, 2)]),
            "stages= names modules inside an own trunk",
        ),
        (lambda: network(heads={"yess": nn.Linear(5, 1)}).meet(batch()), "unknown task 'yess'; did you mean 'yes'"),
        (lambda: Model(tasks=[Multiclass("y")], encoder=MLP()).meet(batch()), "number of classes is not known"),
        (lambda: network().meet(batch()).build({}), "built already"),
        (
            lambda: network().meet(Batch({"x": Field.dense(torch.zeros(3, 2, dtype=torch.int64))})),
            "holds whole numbers",
        ),
        (lambda: network().meet(Batch({"x": Field.dense(torch.zeros(3, 2, 2))})), "input 'x' is of kind 'array'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_cause(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
