"""An own `nn.Module` as trunk: whole or stage by stage, in its own modes, shared in every way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.signals import Signal
from cotrain.core.spec import FieldSpec
from cotrain.encoders.pictures import Picture
from cotrain.model.compose import Model
from cotrain.sharing.apart import Apart
from cotrain.sharing.hard import Hard
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.tasks.regression import Regression

SHARINGS = pytest.mark.parametrize("sharing", [Hard(), Apart(), MMoE(experts=2)], ids=lambda one: one.name)


class Net(nn.Module):
    """A small residual network over pictures, as anyone would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.layer2 = Block(6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer2(self.layer1(self.stem(x)))
        return out


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x).relu()


def pictures(rows: int = 5) -> Batch:
    return Batch(
        {"photo": Field.dense(torch.randn(rows, 3, 8, 8))},
        {"yes": Field.dense((torch.rand(rows) > 0.5).float()), "size": Field.dense(torch.randn(rows, 1))},
    )


def tasks() -> list[Any]:
    return [Binary("yes"), Regression("size")]


@SHARINGS
@pytest.mark.parametrize("staged", [False, True])
def test_a_trunk_learns_whole_or_in_stages(sharing: Any, staged: bool) -> None:
    net = Net()
    stages = [net.stem, net.layer1, net.layer2] if staged else []
    if sharing.name == "mmoe" and not staged:
        with pytest.raises(ConfigError, match="this one has none; name some"):
            Model(trunk=net, sharing=sharing, tasks=tasks()).meet(pictures())
        return
    rows = pictures()
    model = Model(trunk=net, stages=stages, sharing=sharing, tasks=tasks()).meet(rows)
    first = torch.stack(list(model.losses([rows]).values())).sum()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(25):
        optimizer.zero_grad()
        torch.stack(list(model.losses([rows]).values())).sum().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert torch.stack(list(model.losses([rows]).values())).sum() < 0.5 * first


def test_the_users_own_module_is_trained_and_stages_change_no_value() -> None:
    net, rows = Net(), pictures()
    whole = Model(trunk=net, tasks=tasks()).meet(rows).eval()
    staged = Model(trunk=net, stages=[net.stem, net.layer1, net.layer2], tasks=tasks()).meet(rows).eval()
    features = [model.parts[0]("main", rows.inputs)["yes"][-1].values for model in (whole, staged)]
    torch.testing.assert_close(features[0], features[1])
    torch.testing.assert_close(features[0], net(rows.inputs["photo"].values))
    for model in (whole, staged):
        assert {id(one) for one in net.parameters()} <= {id(one) for one in model.parameters()}
    assert [shape["stride"] for shape in staged.structure()["stages"]["yes"]] == [1, 1, 2, 2]
    assert whole.structure()["stages"]["yes"] == [{"layout": "map", "width": 6, "stride": 2, "members": 1}]


def test_without_sharing_every_task_has_a_copy_with_the_weights_the_trunk_came_with() -> None:
    net, rows = Net(), pictures()
    for stages in ([], [net.stem, net.layer1, net.layer2]):
        model = Model(trunk=net, stages=stages, sharing=Apart(), tasks=tasks()).meet(rows)
        one, two = ([id(parameter) for parameter in part.parameters()] for part in model.parts)
        assert not set(one) & set(two)
        for a, b in zip(*(part.parameters() for part in model.parts), strict=True):
            assert torch.equal(a, b)


def test_known_layers_of_a_stage_are_stacked_and_the_others_named() -> None:
    net, rows = Net(), pictures()
    stages = [net.stem, net.layer1, net.layer2]
    for split, loops in ((0, ["Block"]), (2, ["Block"])):
        model = Model(trunk=net, stages=stages, sharing=MMoE(experts=2, split=split), tasks=tasks()).meet(rows)
        assert model.structure()["loops"] == loops
    flat = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    vectors = Batch({"x": Field.dense(torch.randn(5, 4))}, pictures().targets)
    model = Model(trunk=flat, stages=list(flat), sharing=MMoE(experts=2, split=0), tasks=tasks()).meet(vectors)
    assert model.structure()["loops"] == []


def test_stages_that_do_not_add_up_to_the_trunk_are_refused() -> None:
    net = Net()
    for stages, message in (
        ([net.stem, net.layer1], r"the stages \(5, 6, 4, 4\), with other values"),
        ([net.stem], r"the trunk gives \(5, 6, 4, 4\), the stages \(5, 4, 8, 8\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            Model(trunk=net, stages=stages, tasks=tasks()).meet(pictures())


def test_looking_at_the_shapes_changes_neither_modes_nor_running_figures_nor_random_numbers() -> None:
    net = Net()
    net.stem[1].eval()  # frozen by its owner
    before = {name: one.clone() for name, one in net.state_dict().items()}
    torch.manual_seed(4)
    rows = pictures()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    model = Model(
        trunk=net,
        stages=[net.stem, net.layer1, net.layer2],
        tasks=tasks(),
        heads={"yes": nn.Identity(), "size": nn.Identity()},
    )
    model.meet(rows)
    assert torch.equal(torch.rand(3), expected)
    assert (net.training, net.stem[1].training, net.layer1[1].training) == (True, False, True)
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())


def test_several_inputs_come_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.photo, self.age = nn.Linear(4, 6), nn.Linear(1, 6)

        def forward(self, x: dict[str, Tensor]) -> Tensor:
            out: Tensor = self.photo(x["photo"]) + self.age(x["age"])
            return out

    rows = Batch({"photo": Field.dense(torch.randn(5, 4)), "age": Field.dense(torch.randn(5, 1))}, pictures().targets)
    model = Model(trunk=Two(), tasks=tasks()).meet(rows)
    assert list(model.losses([rows])) == ["yes", "size"]
    two = Two()
    with pytest.raises(ConfigError, match="stages of a trunk read one input; this source has several: photo, age"):
        Model(trunk=two, stages=[two.photo], tasks=tasks()).meet(rows)


def test_a_trunk_may_answer_a_signal_of_its_own_with_a_mask() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4)

        def forward(self, codes: Tensor) -> Signal:
            return Signal(self.table(codes), "sequence", codes > 0)

    rows = Batch({"codes": Field.dense(torch.tensor([[1, 2, 0], [3, 0, 0]]))}, {"size": Field.dense(torch.zeros(2, 1))})
    net = Words()
    model = Model(trunk=net, tasks=[Regression("size")], heads={"size": nn.Identity()}).meet(rows).eval()
    weight = net.table.weight.detach()
    torch.testing.assert_close(model(rows)["size"].detach(), torch.stack([(weight[1] + weight[2]) / 2, weight[3]]))


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        (nn.Flatten(0), "got a tensor of shape"),
        (nn.LSTM(4, 4), "got a tuple"),
    ],
)
def test_what_is_no_feature_tensor_is_refused(trunk: nn.Module, message: str) -> None:
    rows = Batch({"x": Field.dense(torch.randn(5, 4))}, pictures().targets)
    with pytest.raises(ConfigError, match=message):
        Model(trunk=trunk, tasks=tasks()).meet(rows)


def test_ragged_inputs_and_several_sources_are_refused_and_shapes_need_a_batch() -> None:
    words = Field(torch.randn(3, 4), torch.ones(2, dtype=torch.bool), torch.tensor([0, 1, 3]))
    with pytest.raises(ConfigError, match="input 'words' is ragged"):
        Model(trunk=nn.Linear(4, 4), tasks=tasks()).meet(Batch({"words": words}))
    with pytest.raises(ConfigError, match="built from a first batch"):
        Model(trunk=nn.Linear(4, 4), tasks=tasks()).build({"main": {}})
    with pytest.raises(ConfigError, match="serves one source"):
        Model(trunk=nn.Linear(4, 4), tasks=tasks()).build({"a": {}, "b": {}}, {"x": Field.dense(torch.zeros(2, 4))})


def test_pictures_of_a_table_reach_a_trunk_standardised() -> None:
    spec = FieldSpec("image", ("photo",), shape=(3, 6, 6), mean=(0.5, 0.4, 0.3), std=(0.25, 0.25, 0.5))
    values = torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)
    batch = Batch({"photo": Field.dense(values)}, {"a": Field.dense(torch.ones(4, 1))})
    trunk = nn.Conv2d(3, 5, 3)
    model = Model(trunk=trunk, tasks=[Binary("a")]).build({"main": {"photo": spec}}, batch.inputs)
    expected = trunk(Picture("trunk", {"photo": spec})(batch.inputs))
    torch.testing.assert_close(model.parts[0].encoders["of_main"].embed(batch.inputs).values, expected)
    assert sorted(model.losses([batch])) == ["a"]
