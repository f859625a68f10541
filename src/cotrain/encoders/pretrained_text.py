"""A pretrained language model as an encoder of texts, its layers as stages that can be shared, adapted or frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cotrain.core.errors import ConfigError, MissingExtraError
from cotrain.core.fields import Field
from cotrain.core.randomness import untouched
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.encoders.token_sequence import check_tokens, joined, real

SHIFT = 2
"""Codes of a pretrained tokenizer are the model's own plus this: 0 and 1 are kept for unknown tokens and for nothing."""


@dataclass(frozen=True, kw_only=True)
class PretrainedText:
    """A model of the `transformers` library (`AutoModel`): its embeddings, then one stage a layer; one embedding of all without them.

    model: a folder that `save_pretrained` wrote, from where the program runs, or a name on the hub; it must be there whenever the network is
    built. Texts are read by the model's own tokenizer, which `data.text` takes by itself. Layers are found where they stand as BERT's,
    RoBERTa's, ELECTRA's or DistilBERT's do and give what the whole model gives; of another model the whole is one embedding without stages.
    Several columns of texts are read one after the other. To train it with adapters alone: `sharing: {name: lora, freeze: true}`.

    Source: J. Devlin et al., BERT, NAACL 2019, section 3 (fine-tuning); T. Wolf et al., Transformers, EMNLP 2020 (the library).
    """

    name: ClassVar[str] = "pretrained_text"
    source: ClassVar[str] = "J. Devlin et al., BERT, NAACL 2019"
    reads: ClassVar[tuple[str, ...]] = ("tokens",)
    head_pool: ClassVar[str] = "mean"
    model: str

    @property
    def tokenizer(self) -> str:
        """The pretrained tokenizer it needs: its model's."""
        return self.model

    def build(self, inputs: InputSpec, width: int | None = None) -> PretrainedTextEncoder:
        return PretrainedTextEncoder(inputs, self, width)


class PretrainedTextEncoder(nn.Module):
    """`embed` gives the model's embeddings [B, S, D]; each stage is one of its layers.

    Where a width is asked for, or no layers are found, `embed` is the whole model, then W x + b of that width, and there are no stages.
    """

    def __init__(self, inputs: InputSpec, settings: PretrainedText, width: int | None) -> None:
        super().__init__()
        check_tokens("pretrained_text", inputs)
        for name, spec in inputs.items():
            if spec.vocabulary != settings.model:
                raise ConfigError(
                    f"encoder 'pretrained_text' reads the tokens of its own model '{settings.model}', but the text '{name}' was taken apart by "
                    "another tokenizer; leave data.text.tokenizer at auto, or say {tokenizer: pretrained, pretrained: "
                    + settings.model
                    + "}"
                )
        model, unknown = fetched(settings.model)
        self.names = tuple(inputs)
        nothing = int(model.config.pad_token_id or 0)
        size = max(spec.cardinalities[0] for spec in inputs.values())
        codes = torch.arange(size) - SHIFT
        codes[0], codes[1] = nothing if unknown is None else unknown, nothing
        self.register_buffer("codes", codes, persistent=False)
        self.most = getattr(model.config, "max_position_embeddings", None)
        wide = int(model.config.hidden_size)
        self.columns = nn.Parameter(torch.zeros(len(inputs), wide)) if len(inputs) > 1 else None
        layers = layers_of(model) if width is None else None
        self.project = nn.Linear(wide, width) if width is not None else None
        self.model: nn.Module = model if layers is None else model.embeddings
        self.parted = layers is not None
        self.stages = nn.ModuleList(PretrainedLayer(layer) for layer in layers or ())
        self.shapes: Sequence[Shape] = [Shape("sequence", width or wide)] * (len(self.stages) + 1)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        codes, which, mask = joined([fields[name] for name in self.names], [0] * len(self.names))
        if self.most is not None and codes.shape[1] > self.most:
            raise ConfigError(
                f"the pretrained model reads {self.most} tokens at most, but the texts of a row have {codes.shape[1]} together; set data.text.length to "
                f"{self.most // len(self.names)} or less"
            )
        own: Tensor = self.codes[codes]  # type: ignore[index]
        values = self.model(input_ids=own) if self.parted else self.model(own, attention_mask=seen(mask).long())[0]
        if self.columns is not None:
            values = values + self.columns[which]
        if self.project is not None:
            values = self.project(values)
        return Signal(values, "sequence", mask)


class PretrainedLayer(nn.Module):
    """One layer of a pretrained model as a stage: hidden states of the real steps among each other."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, signal: Signal) -> Signal:
        mask = None if signal.mask is None else seen(signal.mask)[:, None, None, :]
        out = self.layer(real(signal), mask)
        return signal.of(out[0] if isinstance(out, tuple) else out)


def seen(mask: Tensor) -> Tensor:
    """The mask of what attention may look at: real steps, or a row's filler where it has none."""
    return mask | ~mask.any(1, keepdim=True)


def fetched(name: str) -> tuple[Any, int | None]:
    """(the pretrained model without its pooler, its tokenizer's code of an unknown token). Raises ConfigError where there is none."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("encoder 'pretrained_text'", "text") from error
    try:
        model = transformers.AutoModel.from_pretrained(name, attn_implementation="sdpa", dtype=torch.float32)
        unknown = transformers.AutoTokenizer.from_pretrained(name).unk_token_id
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"pretrained_text.model: no model can be had from '{name}' ({said}); give a folder that save_pretrained wrote, or a name on the hub"
        ) from error
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model, unknown


def layers_of(model: Any) -> nn.ModuleList | None:
    """The model's layers, if its embeddings and these one after the other give what it gives; else None."""
    inside = getattr(model, "encoder", None) or getattr(model, "transformer", None)
    layers = getattr(inside, "layer", None)
    if not isinstance(layers, nn.ModuleList) or not isinstance(getattr(model, "embeddings", None), nn.Module):
        return None
    codes = torch.arange(6).reshape(2, 3) % model.config.vocab_size
    mask = torch.tensor([[True, True, True], [True, True, False]])
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), untouched():
            whole = model(codes, attention_mask=mask.long())[0]
            signal = Signal(model.embeddings(input_ids=codes), "sequence", mask)
            for layer in layers:
                signal = PretrainedLayer(layer)(signal)
    except (TypeError, RuntimeError, ValueError):  # layers that want to be told more
        return None
    finally:
        model.train(training)
    same = whole.shape == signal.values.shape and torch.allclose(whole[mask], signal.values[mask], rtol=1e-4, atol=1e-5)
    return layers if same else None
