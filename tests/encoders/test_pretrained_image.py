"""Pretrained networks of pictures: small random ones of the library's own kinds, saved to a folder and taken apart into stages."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal

import cotrain
from cotrain.core.errors import ConfigError
from cotrain.core.fields import Batch, Field
from cotrain.core.spec import FieldSpec
from cotrain.encoders.pretrained_image import PretrainedImage
from cotrain.model.compose import Model
from cotrain.sharing.adapters import Adapters
from cotrain.sharing.hard import Hard
from cotrain.sharing.lora import LoRA
from cotrain.sharing.mmoe import MMoE
from cotrain.tasks.binary import Binary

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 8,
}


def small(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
        return transformers.ResNetModel(config)
    if kind == "convnext":
        return transformers.ConvNextModel(
            transformers.ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 1], num_stages=2)
        )
    if kind == "swin":
        sizes = {
            "image_size": 16,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [2, 2],
            "window_size": 4,
        }
        return transformers.SwinModel(transformers.SwinConfig(**sizes))
    config, model = {
        "vit": (transformers.ViTConfig, transformers.ViTModel),
        "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model),
    }[kind]
    return model(config(**SMALL))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, made = tmp_path_factory.mktemp("models"), dict[str, Path]()

    def store(kind: str) -> Path:
        if kind not in made:
            small(kind).save_pretrained(root / kind)
            made[kind] = root / kind
        return made[kind]

    return store


def spec(channels: int = 3, size: int = 16) -> dict[str, FieldSpec]:
    return {
        "photo": FieldSpec(
            "image", ("photo",), shape=(channels, size, size), mean=(0.4,) * channels, std=(0.2,) * channels
        )
    }


def signals_of(encoder: Any, values: torch.Tensor) -> list[Any]:
    signals = [encoder.embed({"photo": Field.dense(values)})]
    for stage in encoder.stages:
        signals.append(stage(signals[-1]))
    return signals


@pytest.mark.parametrize(
    ("kind", "layout", "stages"),
    [
        ("resnet", "map", 2),
        ("convnext", "map", 2),
        ("vit", "sequence", 2),
        ("dinov2", "sequence", 2),
        ("swin", "sequence", 1),
    ],
)
def test_stages_give_what_the_whole_model_gives(
    stored: Callable[[str], Path], kind: str, layout: str, stages: int
) -> None:
    encoder = PretrainedImage(model=str(stored(kind))).build(spec()).eval()
    assert len(encoder.stages) == stages
    values = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        signals = signals_of(encoder, values)
        expected = small(kind).eval()((values - 0.4) / 0.2).last_hidden_state
    torch.testing.assert_close(signals[-1].values, expected, rtol=1e-3, atol=1e-4)
    for signal, shape in zip(signals, encoder.shapes, strict=True):
        assert signal.layout == shape.layout
        assert signal.values.shape[-3 if shape.layout == "map" else -1] == shape.width
    assert signals[-1].layout == layout
    if layout == "map":
        assert [16 // shape.stride for shape in encoder.shapes] == [signal.values.shape[-1] for signal in signals]


def test_pictures_are_standardised_as_the_model_was_trained_and_grey_ones_fill_every_channel(tmp_path: Path) -> None:
    small("vit").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.25]})
    )
    encoder = PretrainedImage(model=str(tmp_path)).build(spec(channels=1)).eval()
    grey = torch.rand(2, 1, 16, 16)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1), torch.tensor([0.5, 0.5, 0.25]).reshape(3, 1, 1)
    with torch.no_grad():
        expected = small("vit").eval()((grey - mean) / std).last_hidden_state
        torch.testing.assert_close(signals_of(encoder, grey)[-1].values, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "sharing",
    [LoRA(rank=2, freeze=True), Adapters(width=4, freeze=True), MMoE(experts=2), Hard()],
    ids=lambda one: one.name,
)
def test_a_vision_transformer_is_adapted_task_by_task(stored: Callable[[str], Path], sharing: Any) -> None:
    """LoRA and adapters on frozen layers learn, and leave every pretrained number of these layers as it was."""
    torch.manual_seed(0)
    model = Model(encoder=PretrainedImage(model=str(stored("vit"))), sharing=sharing, tasks=[Binary("a"), Binary("b")])
    model.build({"main": spec()})
    frozen = {name: one.clone() for name, one in model.named_parameters() if not one.requires_grad}
    assert bool(frozen) == getattr(sharing, "freeze", False)
    values = torch.rand(12, 3, 16, 16)
    values[::2, 0] += 1.0
    label = (torch.arange(12) % 2 == 0).float().unsqueeze(1)
    batch = Batch({"photo": Field.dense(values)}, {"a": Field.dense(label), "b": Field.dense(1 - label)})
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], 0.02)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = sum(model.losses([batch]).values())
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        losses.append(float(loss.detach()))  # type: ignore[union-attr]
    assert losses[-1] < 0.6 * losses[0]
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], one) for name, one in frozen.items())


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_where_sources_meet_it_embeds_in_the_width_asked_for(stored: Callable[[str], Path], kind: str) -> None:
    encoder = PretrainedImage(model=str(stored(kind))).build(spec(), 5)
    assert len(encoder.stages) == 0
    assert encoder.shapes[0].width == 5
    assert 5 in encoder.embed({"photo": Field.dense(torch.rand(2, 3, 16, 16))}).values.shape


def test_what_cannot_be_read_says_what_to_do(stored: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.image\.size to 16"):
        PretrainedImage(model=str(stored("vit"))).build(spec(size=24))
    with pytest.raises(ConfigError, match=r"pretrained_image.model: no model can be had from '.*nowhere'"):
        PretrainedImage(model=str(tmp_path / "nowhere")).build(spec())
    with pytest.raises(ConfigError, match="reads pictures of 3 channels"):
        PretrainedImage(model=str(stored("vit"))).build(spec(channels=2))
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="reads input_ids and no pictures"):
        PretrainedImage(model=str(tmp_path / "bert")).build(spec())


def test_a_pretrained_network_is_trained_stored_and_loaded_like_any_other(
    stored: Callable[[str], Path], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    photo = random.integers(0, 120, (40, 16, 16, 3), dtype=np.uint8)
    photo[::2, :, :, 0] += 120
    run = cotrain.fit(
        {"photo": photo, "red": ["yes", "no"] * 20},
        tasks={"red": "binary"},
        encoder={"name": "pretrained_image", "model": str(stored("vit"))},
        sharing={"name": "lora", "rank": 2, "freeze": True},
        train={"epochs": 8, "batch_size": 8, "optimizer": {"lr": 0.02}, "early_stopping": None},
    )
    assert run.metrics["splits"]["test"]["red"]["auc"] > 0.9
    run.save(tmp_path / "run")
    again = cotrain.load(tmp_path / "run").predict({"photo": photo[:6]})
    assert_frame_equal(again, run.predict({"photo": photo[:6]}))
