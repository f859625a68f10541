"""A task that is defined where another holds: scores, constants, the model's outputs and gradients, and every balancer."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from cotrain.balance.engine import Engine
from cotrain.balance.gallery import BALANCERS
from cotrain.core.errors import ConfigError, DataError
from cotrain.core.fields import Batch, Field
from cotrain.encoders.mlp import MLP
from cotrain.encoders.tabm import TabM
from cotrain.losses.joint_event import joint_cross_entropy
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.conditional import Conditional
from cotrain.tasks.conditional_codec import joint_target
from cotrain.tasks.regression import Regression

TASKS = [
    Conditional("bought", given="cart"),
    Binary("clicked"),
    Conditional("cart", given="clicked"),
    Regression("age"),
]


def batch(rows: int = 40) -> Batch:
    clicked, cart, bought = (torch.rand(3, rows) > 0.4).float().unbind(0)
    clicked[:3] = torch.nan
    cart = torch.where(clicked == 0, torch.nan, cart)
    bought = torch.where(cart == 1, bought, torch.nan)
    return Batch(
        {"x": Field.dense(torch.randn(rows, 5))},
        {
            "clicked": Field(clicked.nan_to_num(), ~clicked.isnan()),
            "cart": joint_target(cart, clicked),
            "bought": joint_target(bought, cart, clicked),
            "age": Field.dense(torch.randn(rows, 1)),
        },
        torch.rand(rows),
        torch.arange(rows),
    )


def network(**more: object) -> Model:
    return Model(encoder=MLP(widths=[8], dropout=0.0), tasks=TASKS, **more).meet(batch())  # type: ignore[arg-type]


def test_a_child_is_shown_its_parents_logits_nearest_first() -> None:
    model, rows = network().eval(), batch()
    out = model(rows)
    assert {name: one.shape[1] for name, one in out.items()} == {"bought": 3, "clicked": 1, "cart": 2, "age": 1}
    torch.testing.assert_close(out["bought"][:, 1:], out["cart"])
    torch.testing.assert_close(out["cart"][:, 1:], out["clicked"])
    torch.testing.assert_close(model.predict(rows)["bought"], out["bought"])


def test_a_parents_labels_may_be_absent_from_a_batch() -> None:
    model, rows = network(), batch()
    own = Batch(rows.inputs, {"bought": rows.targets["bought"]}, rows.weight, rows.row)
    assert list(model.losses([own])) == ["bought"]
    torch.testing.assert_close(model.losses([own])["bought"], model.losses([rows])["bought"])


@pytest.mark.parametrize("sharing", [None, MMoE(experts=2), Apart()], ids=str)
def test_the_childs_loss_reaches_the_parents_head(sharing: object) -> None:
    model, rows = network(sharing=sharing), batch()
    model.losses([rows])["bought"].backward()
    reached = {
        name for name, one in model.heads.named_parameters() if one.grad is not None and one.grad.abs().sum() > 0
    }
    assert {name.split(".")[0] for name in reached} == {name for name in model.heads if "age" not in name}


def test_the_constant_is_the_share_of_joint_events_and_no_other_is_better() -> None:
    rows = batch(200)
    for task in (TASKS[0], TASKS[2]):
        target = rows.targets[task.name]
        best = task.reference(target, rows.weight)
        assert best is not None
        weight = rows.weight * target.present  # type: ignore[operator]
        share = float((weight * target.values[:, 0]).sum() / weight.sum())
        assert float(torch.sigmoid(best).prod()) == pytest.approx(share, rel=1e-4)

        def mean(constant: torch.Tensor, target: Field = target) -> float:
            total, count = joint_cross_entropy(constant.expand(200, -1), target, rows.weight)
            return float(total / count)

        assert all(mean(best) <= mean(best + torch.randn(2) * 0.3) + 1e-7 for _ in range(30))
        alone = task.by_itself()  # type: ignore[union-attr]
        assert torch.equal(alone.reference(target, rows.weight), best[:1])


def test_scores_are_those_of_scikit_learn_where_the_parent_holds_and_over_all_rows() -> None:
    rows, output = batch(300), torch.randn(300, 2)
    target = rows.targets["cart"]
    found = TASKS[2].metrics.score(output, target, rows.weight)
    here = target.present & (target.values[:, 1] > 0)
    truth, weight = target.values[:, 0].numpy(), rows.weight.numpy()  # type: ignore[union-attr]
    assert found["auc"] == pytest.approx(roc_auc_score(truth[here], output[here, 0], sample_weight=weight[here]))
    assert found["log_loss"] == pytest.approx(
        log_loss(truth[here], torch.sigmoid(output[here, 0].double()), sample_weight=weight[here])
    )
    joint, seen = torch.sigmoid(output.double()).prod(1), target.present
    assert found["joint_auc"] == pytest.approx(roc_auc_score(truth[seen], joint[seen], sample_weight=weight[seen]))
    assert found["joint_log_loss"] == pytest.approx(log_loss(truth[seen], joint[seen], sample_weight=weight[seen]))
    own = TASKS[2].metrics.score(output[:, :1], target, rows.weight)
    assert own["auc"] == found["auc"]
    assert own["joint_auc"] != own["joint_auc"]


def test_answers_hold_both_chances() -> None:
    output = torch.tensor([[0.0, 0.0], [2.0, -1.0]])
    answers = TASKS[2].decode(output)
    assert answers["cart_probability"].tolist() == pytest.approx([0.5, 0.8808], abs=1e-4)
    assert answers["cart_joint_probability"].tolist() == pytest.approx([0.25, 0.8808 * 0.2689], abs=1e-4)
    assert set(TASKS[2].decode(output[:, :1])) == {"cart", "cart_probability"}


NEEDS = {"static": {"weights": {"age": 2.0}}, "cr_mogm": {"weigher": BALANCERS["mgda"]()}}


@pytest.mark.parametrize("mode", ["exact", "features"])
@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_every_balancer_takes_a_head_that_two_losses_reach(name: str, mode: str) -> None:
    balancer = BALANCERS[name](**NEEDS.get(name, {}))
    if mode == "features" and (balancer.family != "gradient" or name == "gradnorm"):
        pytest.skip("has no form at the features")
    model, rows = network(), batch()
    engine = Engine(
        model.shared_parameters(),
        balancer,
        mode=mode,
        tasks=list(model.tasks),
        network=model,
        generator=torch.Generator(),
    )  # type: ignore[arg-type]
    for _ in range(2):
        model.zero_grad()
        report = engine.backward(model.losses([rows]))
    assert not report.skipped
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in model.parameters())


def test_the_exact_engine_with_equal_weights_gives_the_plain_gradient() -> None:
    model, rows = network(), batch()
    losses = model.losses([rows])
    plain = torch.autograd.grad(torch.stack(list(losses.values())).sum(), list(model.parameters()), retain_graph=True)
    for shared in (model.parts, model.shared_parameters(), None):
        model.zero_grad()
        Engine(shared, BALANCERS["sum"](), tasks=list(model.tasks), network=model).backward(model.losses([rows]))
        for parameter, expected in zip(model.parameters(), plain, strict=True):
            torch.testing.assert_close(parameter.grad, expected)


def test_members_of_an_ensemble_keep_their_own_parents() -> None:
    model = Model(encoder=TabM(widths=[8], members=3), tasks=TASKS[1:3]).meet(batch())
    rows = batch()
    rows = Batch(rows.inputs, {name: rows.targets[name] for name in ("clicked", "cart")}, rows.weight, rows.row)
    assert model(rows)["cart"].shape == (120, 2)
    assert model.predict(rows)["cart"].shape == (40, 2)
    assert set(model.losses([rows])) == {"clicked", "cart"}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Conditional("b", given="klick"), Binary("click")], "unknown task 'klick'; did you mean 'click'"),
        ([Conditional("b", given="age"), Regression("age")], "'age', which is of kind 'regression'"),
        ([Conditional("b", given="c"), Conditional("c", given="b")], "circle: b given c given b"),
        ([Conditional("b", given="b")], "unknown task 'b'|circle"),
        ([Conditional("b", given="c", source="x"), Binary("c", source="y")], "both must have the same rows"),
    ],
)
def test_parents_that_cannot_be_are_refused(tasks: list[object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Model(encoder=MLP(widths=[4]), tasks=tasks)  # type: ignore[arg-type]


def test_a_task_by_itself_needs_no_parent() -> None:
    rows = batch()
    alone = Batch(rows.inputs, {"cart": rows.targets["cart"]}, rows.weight, rows.row)
    model = Model(encoder=MLP(widths=[4]), tasks=[Conditional("cart", given="clicked").by_itself()]).meet(alone)
    assert model(alone)["cart"].shape == (40, 1)
    assert list(model.losses([alone])) == ["cart"]


def test_plain_labels_are_refused_with_the_way_to_make_the_target() -> None:
    with pytest.raises(DataError, match="joint_target"):
        TASKS[2].check(Field.dense(torch.zeros(3)))
    with pytest.raises(DataError, match="joint_target"):
        TASKS[2].check(Field.dense(torch.tensor([[1.0, 0.0]])))
