"""Encoders of pictures: what enters, sizes of maps, and the ResNets against another library's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import Residual, loops_in, stack
from cotrain.encoders.conv_layers import group_size
from cotrain.encoders.convnet import ConvNet
from cotrain.encoders.mlp import MLP
from cotrain.encoders.own import OwnNetwork
from cotrain.encoders.pictures import Picture
from cotrain.encoders.residual_pictures import ResNet18, ResNet34, ResNet50
from cotrain.encoders.tabm import TabM
from cotrain.model.compose import Model
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary
from cotrain.training.cost import cost

EVERY: dict[str, Any] = {
    "convnet": ConvNet(widths=(8, 12)),
    "convnet, mean": ConvNet(widths=(8, 8, 6), pool="mean", pool_every=2, norm="group", kernel=5, dropout=0.1),
    "convnet, stride": ConvNet(widths=(6, 8), convolutions=2, pool="stride", norm="none", activation="gelu"),
    "resnet18": ResNet18(width=0.125),
    "resnet18, large stem": ResNet18(width=0.125, stem="large", norm="group", dropout=0.1),
    "resnet34, blocks": ResNet34(width=0.0625, stages="blocks"),
    "resnet50": ResNet50(width=0.0625),
}
every = pytest.mark.parametrize("name", EVERY)


def pictures(channels: int = 3, size: tuple[int, int] = (13, 10), rows: int = 4) -> tuple[dict[str, FieldSpec], Field]:
    spec = FieldSpec("image", ("photo",), shape=(channels, *size), mean=(0.5,) * channels, std=(0.25,) * channels)
    values = torch.randint(0, 256, (rows, channels, *size), dtype=torch.uint8)
    return {"photo": spec}, Field.dense(values)


def forward(encoder: Any, field: Field) -> list[Any]:
    signals = [encoder.embed({"photo": field})]
    for stage in encoder.stages:
        signals.append(stage(signals[-1]))
    return signals


def test_bytes_and_floats_of_one_picture_enter_alike_and_a_missing_one_as_zeros() -> None:
    specs, field = pictures()
    front = Picture("convnet", specs)
    floats = Field(field.values.float() / 255, torch.tensor([True, False, True, True]))
    torch.testing.assert_close(front({"photo": floats})[[0, 2]], front({"photo": field})[[0, 2]])
    assert not front({"photo": floats})[1].any()
    expected = (field.values[0, 2, 5, 7].item() / 255 - 0.5) / 0.25
    assert float(front({"photo": field})[0, 2, 5, 7]) == pytest.approx(expected, abs=1e-6)


def test_statistics_are_no_parameters_but_are_kept_with_the_network() -> None:
    specs, _ = pictures(channels=1)
    encoder = ConvNet(widths=[4]).build(specs)
    assert {"picture.mean", "picture.std"} <= set(encoder.state_dict())
    assert not any("picture" in name for name, _ in encoder.named_parameters())
    flat = FieldSpec("image", shape=(1, 2, 2), mean=(0.5,), std=(0.0,))  # every picture is the same grey
    assert float(Picture("convnet", {"x": flat})({"x": Field.dense(torch.full((1, 1, 2, 2), 0.75))}).max()) == 0.25


@every
@pytest.mark.parametrize("size", [(13, 10), (32, 32), (1, 3)])
def test_maps_are_as_wide_and_as_coarse_as_the_shapes_tell(name: str, size: tuple[int, int]) -> None:
    specs, field = pictures(size=size)
    encoder = EVERY[name].build(specs)
    signals = forward(encoder, field)
    assert len(signals) == len(encoder.shapes)
    for signal, shape in zip(signals, encoder.shapes, strict=True):
        assert signal.layout == shape.layout == "map"
        assert signal.values.shape[1] == shape.width
        assert tuple(signal.values.shape[2:]) == tuple(-(-one // shape.stride) for one in size)


@every
def test_copies_of_its_stages_are_batched_and_gradients_reach_every_parameter(name: str) -> None:
    specs, field = pictures()
    encoder = EVERY[name].build(specs)
    forward(encoder, field)[-1].values.square().sum().backward()
    lost = [key for key, one in encoder.named_parameters() if one.grad is None or not one.grad.any()]
    assert not lost
    signal = encoder.eval().embed({"photo": field})
    for stage in encoder.stages:
        many = stack(stage, 2, alike=True).eval()
        assert list(loops_in(many)) == []
        found = many(signal.of(torch.stack([signal.values] * 2)))
        signal = stage(signal)
        torch.testing.assert_close(found.values[1], signal.values, rtol=1e-3, atol=1e-4)


@every
def test_where_sources_meet_the_embedding_has_the_width_asked_for(name: str) -> None:
    specs, field = pictures()
    encoder = EVERY[name].build(specs, 7)
    signals = forward(encoder, field)
    assert (signals[0].values.shape[1], encoder.shapes[0].width) == (7, 7)
    assert signals[-1].values.shape[1] == encoder.shapes[-1].width


@pytest.mark.parametrize(
    ("settings", "kind", "depths"),
    [
        (ResNet18(), "basic", [2, 2, 2, 2]),
        (ResNet34(), "basic", [3, 4, 6, 3]),
        (ResNet50(), "bottleneck", [3, 4, 6, 3]),
    ],
    ids=["resnet18", "resnet34", "resnet50"],
)
def test_with_the_same_weights_it_answers_what_transformers_resnet_does(
    settings: Any, kind: str, depths: list[int]
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048],
        depths=depths, layer_type=kind,
    )  # fmt: skip
    theirs = transformers.ResNetModel(config).eval()
    ours = settings.build({"photo": FieldSpec("image", shape=(3, 65, 70))}).eval()

    def layers(module: nn.Module) -> list[nn.Module]:
        """Convolutions and norms, in one order: a block's shortcut before what it stands beside."""
        found: list[nn.Module] = []
        for child in module.children():
            if isinstance(child, nn.Conv2d | nn.BatchNorm2d):
                found.append(child)
            elif isinstance(child, Residual):
                found += layers(child.shortcut) + layers(child.layers)
            else:
                found += layers(child)
        return found

    own, other = layers(ours), layers(theirs)
    assert [type(one) for one in own] == [type(one) for one in other]
    assert sum(one.numel() for one in ours.parameters()) == sum(one.numel() for one in theirs.parameters())
    for mine, one in zip(own, other, strict=True):
        mine.load_state_dict(one.state_dict())
    x = torch.rand(2, 3, 65, 70)
    with torch.no_grad():
        torch.testing.assert_close(
            forward(ours, Field.dense(x))[-1].values, theirs(x).last_hidden_state, rtol=1e-3, atol=1e-4
        )


def test_resnet18_has_the_papers_parameters_and_flops() -> None:
    """11.18 million below the classifier, and 1.8 billion multiplications for 224 x 224 (table 1)."""
    specs, field = pictures(size=(224, 224), rows=1)
    model = Model(encoder=ResNet18(), tasks=[Binary("a")]).build({"main": specs})
    found = cost(model, Batch({"photo": field}))
    assert found["parameters"] == 11_176_512 + 513
    assert found["flops_per_row"] == pytest.approx(2 * 1.81e9, rel=0.01)


def test_costs_of_a_plain_net_are_the_formulas() -> None:
    specs, field = pictures(channels=1, size=(8, 8), rows=2)
    model = Model(encoder=ConvNet(widths=[4, 6]), tasks=[Binary("a")]).build({"main": specs})
    found = cost(model, Batch({"photo": field}))
    assert found["parameters"] == 9 * 4 + 8 + 9 * 4 * 6 + 12 + 7
    assert found["flops_per_row"] == 2 * (64 * 9 * 4 + 16 * 9 * 4 * 6 + 6)


def test_experts_over_maps_train_from_pictures_with_a_row_missing() -> None:
    specs, field = pictures()
    model = Model(encoder=ConvNet(widths=[4, 6]), sharing=MMoE(experts=2), tasks=[Binary("a"), Binary("b")])
    model.build({"main": specs})
    field = Field(field.values, torch.tensor([True, True, False, True]))
    label = Field.dense(torch.ones(4, 1))
    losses = model.losses([Batch({"photo": field}, {"a": label, "b": label})])
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in model.parameters())


def test_small_pictures_keep_their_size_in_the_stem() -> None:
    for side, stride in ((32, 1), (64, 1), (65, 4)):
        specs, _ = pictures(size=(side, side))
        assert ResNet18(width=0.1).build(specs).shapes[0].stride == stride
    assert [shape.width for shape in ResNet18(width=0.3).build(specs).shapes] == [19, 19, 38, 77, 154]


def test_groups_hold_about_sixteen_channels() -> None:
    assert [group_size(width) for width in (1, 8, 16, 48, 64, 100, 512)] == [1, 8, 16, 16, 16, 20, 16]


class Lenet(nn.Module):
    """A network of someone's own: a 5 x 5 convolution without padding makes 28 x 28 of 32 x 32."""

    def __init__(self, channels: int, features: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 14 * 14, features)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


def test_an_own_network_reads_standardised_pictures_and_may_answer_maps_or_vectors() -> None:
    specs, field = pictures(size=(32, 32))
    flat = OwnNetwork(network=Lenet, settings={"features": 5}).build(specs)
    assert [(shape.layout, shape.width) for shape in flat.shapes] == [("map", 3), ("vector", 5)]
    assert forward(flat, field)[-1].layout == "vector"
    maps = OwnNetwork(network=lambda channels: nn.Conv2d(channels, 4, 2, 2), settings={}).build(specs)
    assert (maps.shapes[1].layout, maps.shapes[1].stride) == ("map", 2)
    with pytest.raises(ConfigError, match="serves one source"):
        OwnNetwork(network=Lenet, settings={}).build(specs, 4)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [(ConvNet, wrong) for wrong in ({"widths": 8}, {"convolutions": 0}, {"kernel": 4}, {"pool": "min"}, {"pool_every": 0},
     {"norm": "layer"}, {"activation": "tanh"}, {"dropout": 1.0})]
    + [(ResNet18, wrong) for wrong in ({"width": 0}, {"stem": "tiny"}, {"stages": 4}, {"norm": "none"}, {"dropout": -0.1})],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(settings: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{settings.name}.{next(iter(wrong))}"):
        settings(**wrong)


def test_other_inputs_are_refused_with_what_to_do() -> None:
    specs, _ = pictures()
    table = {"numbers": FieldSpec("number", names=("a",))}
    with pytest.raises(ConfigError, match=r"the inputs hold 'numbers' \(number\).*an encoder of its own, and a fusion"):
        ConvNet().build(specs | table)
    with pytest.raises(ConfigError, match="reads one picture, got 2: photo, scan"):
        ResNet18().build(specs | {"scan": specs["photo"]})
    with pytest.raises(ConfigError, match=r"shape as \(channels, height, width\)"):
        ConvNet().build({"photo": FieldSpec("image")})
    with pytest.raises(ConfigError, match="3 channels, but 1 means"):
        ConvNet().build({"photo": FieldSpec("image", shape=(3, 4, 4), mean=(0.5,))})
    for encoder in (MLP(), TabM()):
        with pytest.raises(ConfigError, match="of kind 'image'; encoders of pictures are convnet, resnet18"):
            encoder.build(specs | table)
