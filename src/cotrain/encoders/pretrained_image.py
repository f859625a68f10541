"""A pretrained network of pictures as an encoder, its layers as stages that can be shared, adapted or frozen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError, MissingExtraError
from cotrain.core.fields import Field
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal, as_signal
from cotrain.core.spec import FieldSpec, InputSpec
from cotrain.encoders.pictures import Picture, only_picture


@dataclass(frozen=True, kw_only=True)
class PretrainedImage:
    """A model of the `transformers` library (`AutoModel`): its embeddings, then one stage a layer; the whole as one stage where it has none.

    model: a folder that `save_pretrained` wrote, from where the program runs, or a name on the hub; it must be there whenever the network is
    built. Layers are found where they stand as those of ResNet, RegNet, ConvNeXt, ViT, DeiT or DINOv2 do and give what the whole model gives.
    Convolutional models answer maps, transformers sequences (patches, and their own tokens before them). Pictures are standardised as the model's
    preprocessor_config.json says, else as training pictures are; grey ones stand in every channel. Vision transformers read pictures of one size:
    set data.image.size. To train it with adapters alone: `sharing: {name: lora, freeze: true}`.

    Source: T. Wolf et al., Transformers, EMNLP 2020 (the library); A. Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021 (ViT).
    """

    name: ClassVar[str] = "pretrained_image"
    source: ClassVar[str] = "T. Wolf et al., Transformers, EMNLP 2020"
    model: str

    def build(self, inputs: InputSpec, width: int | None = None) -> PretrainedImageEncoder:
        return PretrainedImageEncoder(inputs, self, width)


class PretrainedImageEncoder(nn.Module):
    """`embed` gives the model's embeddings; each stage is one of its layers, the last one with the norm after it, or the whole model.

    Where a width is asked for, `embed` is the whole model, then W x + b of that width, and there are no stages.
    """

    def __init__(self, inputs: InputSpec, settings: PretrainedImage, width: int | None) -> None:
        super().__init__()
        name, spec = only_picture("pretrained_image", inputs)
        model = fetched(settings.model)
        self.channels = int(getattr(model.config, "num_channels", 3))
        if spec.shape[0] not in (1, self.channels):
            raise ConfigError(
                f"pretrained_image: '{settings.model}' reads pictures of {self.channels} channels, but those of '{name}' have {spec.shape[0]}; "
                f"set data.image.channels to {self.channels}"
            )
        self.picture = Picture("pretrained_image", {name: standardised(spec, settings.model, self.channels)})
        example = torch.randn(2, self.channels, *self.picture.size, generator=torch.Generator().manual_seed(0))
        whole = self._seen(settings.model, model, example)
        parts = parts_of(model, example, whole)
        layers = [Layers(model)] if parts is None else parts[1:]
        self.first = None if parts is None else parts[0]
        self.whole = nn.Sequential(*layers) if width is not None else None
        self.stages = nn.ModuleList(layers if width is None else [])
        last = whole.values.shape[-3 if whole.layout == "map" else -1]
        self.project: nn.Module | None = None
        if width is not None:
            self.project = nn.Linear(last, width) if whole.layout == "sequence" else nn.Conv2d(last, width, 1)
        self.shapes: Sequence[Shape] = self._shapes(example)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        field = fields[self.picture.input]
        wide = replace(field, values=field.values.expand(-1, self.channels, -1, -1))
        return self._embedded(self.picture({self.picture.input: wide}))

    def _embedded(self, values: Tensor) -> Signal:
        signal = Signal(values, "map") if self.first is None else as_signal(tensor_of(self.first(values)))
        if self.whole is not None and self.project is not None:
            signal = self.whole(signal)
            signal = signal.of(self.project(signal.values))
        return signal

    def _shapes(self, example: Tensor) -> list[Shape]:
        training = self.training
        self.eval()
        with torch.no_grad(), untouched():
            signals = [self._embedded(example)]
            for stage in self.stages:
                signals.append(stage(signals[-1]))
        self.train(training)
        size = max(self.picture.size)
        return [
            Shape.of(one, round(size / max(one.values.shape[-2:])) if one.layout == "map" else 1) for one in signals
        ]

    def _seen(self, name: str, model: nn.Module, example: Tensor) -> Signal:
        try:
            with torch.no_grad(), untouched():
                return as_signal(model.eval()(example).last_hidden_state)
        except (ValueError, RuntimeError) as error:
            size = getattr(model.config, "image_size", None)
            hint = f"set data.image.size to {size}" if size else "give pictures of another size (data.image.size)"
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"pretrained_image: '{name}' does not read pictures of {' x '.join(map(str, self.picture.size))} ({said}); {hint}"
            ) from error
        finally:
            model.train()


class Layers(nn.Module):
    """Modules of a pretrained model, one after the other, as a stage; the layout is that of the tensor they answer."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.modules_ = nn.ModuleList(modules)

    def forward(self, signal: Signal) -> Signal:
        values: Any = signal.values
        for module in self.modules_:
            values = tensor_of(module(values))
        return as_signal(values)


def tensor_of(answer: Any) -> Tensor:
    """The features in what a pretrained module answers: a tensor, a tuple that begins with it, or an output with `last_hidden_state`."""
    found = getattr(answer, "last_hidden_state", answer)
    values: Tensor = found[0] if isinstance(found, tuple | list) else found
    return values


def fetched(name: str) -> Any:
    """The pretrained model. Raises ConfigError where there is none, MissingExtraError without `transformers`."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("encoder 'pretrained_image'", "pretrained") from error
    bars: Any = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        model = transformers.AutoModel.from_pretrained(name, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"pretrained_image.model: no model can be had from '{name}' ({said}); give a folder that save_pretrained wrote, or a name on the hub"
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()
    if getattr(model, "main_input_name", "pixel_values") != "pixel_values":
        raise ConfigError(
            f"pretrained_image.model: '{name}' reads {model.main_input_name} and no pictures; for texts there is pretrained_text"
        )
    if getattr(model, "pooler", None) is not None and any(True for _ in model.pooler.parameters()):
        model.pooler = None  # features are pooled by heads
    return model


def standardised(spec: FieldSpec, model: str, channels: int) -> FieldSpec:
    """The specification with the model's own means and deviations where it brings them, for so many channels."""
    own = preprocessing(model)
    times = channels // spec.shape[0]
    mean, std = (tuple(map(float, own.get(key) or ())) for key in ("image_mean", "image_std"))
    if len(mean) != channels or len(std) != channels:
        mean, std = spec.mean * times, spec.std * times
    return replace(spec, shape=(channels, *spec.shape[1:]), mean=mean, std=std)


def preprocessing(model: str) -> Mapping[str, Any]:
    """What `preprocessor_config.json` beside a model says; nothing where there is none."""
    path = Path(model) / "preprocessor_config.json"
    if not Path(model).is_dir():
        from transformers.utils.hub import cached_file

        found = cached_file(
            model, path.name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
        )
        path = Path(found) if found else path
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return said if isinstance(said, dict) else {}


def parts_of(model: Any, example: Tensor, whole: Signal) -> list[nn.Module] | None:
    """[embeddings, a stage a layer ...] if these, one after the other, give what the model gives; else None."""
    first = next((one for name in ("embeddings", "embedder") if (one := getattr(model, name, None)) is not None), None)
    holders = [one for one in (model, getattr(model, "encoder", None)) if one is not None]
    lists = [getattr(one, name, None) for one in holders for name in ("stages", "layers", "layer", "blocks")]
    layers = next((one for one in lists if isinstance(one, nn.ModuleList) and len(one)), None)
    if not isinstance(first, nn.Module) or layers is None:
        return None
    norm = getattr(model, "layernorm", None)
    for ending in ([norm] if isinstance(norm, nn.Module) else [], []):
        stages = [Layers(layer, *(ending if place == len(layers) - 1 else [])) for place, layer in enumerate(layers)]
        if _same(model, [first, *stages], example, whole):
            return [first, *stages]
    return None


def _same(model: nn.Module, parts: Sequence[nn.Module], example: Tensor, whole: Signal) -> bool:
    training = model.training
    model.eval()
    for part in parts:
        part.eval()
    try:
        with torch.no_grad(), untouched():
            signal = as_signal(tensor_of(parts[0](example)))
            for part in parts[1:]:
                signal = part(signal)
    except (TypeError, RuntimeError, ValueError, ConfigError):  # layers that want to be told more
        return False
    finally:
        model.train(training)
    return signal.values.shape == whole.values.shape and torch.allclose(
        signal.values, whole.values, rtol=1e-4, atol=1e-5
    )
