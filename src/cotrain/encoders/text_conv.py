"""Convolutions over the words of a text (Kim 2014): filters of several widths side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import stack_layer
from cotrain.core.widths import layer_widths
from cotrain.encoders.layers import check_count, check_share
from cotrain.encoders.token_sequence import FeatureDropout, TokenSequence, real


@dataclass(frozen=True, kw_only=True)
class TextConv:
    """One stage a layer: c_s = d relu([W_h x_{s-l:s+r} + b_h for each width h]), filters of all widths side by side.

    x_{s-l:s+r}: the h words about place s, zeros beyond the text's ends and where no word is. The sequence keeps its length, and heads
    take the largest value of each filter over the text (Kim's max-over-time), unless another `pool` is said.
    embedding: width of a word's vector. widths: words a filter sees. filters: of each width. layers: stages, at least 1 (the paper: 1).
    dropout: d, of a text's filters after each layer, each at all places or at none, which is dropout after the maximum as in the paper;
    embedding_dropout: of the vectors' numbers; both in [0, 1). Several columns of texts are read one after the other.

    Differs from the paper: vectors are learnt from scratch (there also pretrained ones), filters see places beyond the text's ends too,
    and no norm of the last layer's weights is bounded (weight decay does its part).

    Source: Y. Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014, section 2; its widths 3, 4, 5, its 100 filters each
    and dropout 0.5 are the defaults.
    """

    name: ClassVar[str] = "text_conv"
    source: ClassVar[str] = "Y. Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014"
    reads: ClassVar[tuple[str, ...]] = ("tokens",)
    head_pool: ClassVar[str] = "max"
    embedding: int = 128
    widths: Sequence[int] = (3, 4, 5)
    filters: int = 100
    layers: int = 1
    dropout: float = 0.5
    embedding_dropout: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", layer_widths("text_conv.widths", self.widths))
        check_count("text_conv.widths, how many there are,", len(self.widths))
        for setting in ("embedding", "filters", "layers"):
            check_count(f"text_conv.{setting}", getattr(self, setting))
        for setting in ("dropout", "embedding_dropout"):
            check_share(f"text_conv.{setting}", getattr(self, setting))

    def build(self, inputs: InputSpec, width: int | None = None) -> TextConvEncoder:
        return TextConvEncoder(inputs, self, width)


class TextConvEncoder(nn.Module):
    """`embed` gives the words' vectors [B, S, D]; each stage is a layer of filters of all widths."""

    def __init__(self, inputs: InputSpec, settings: TextConv, width: int | None) -> None:
        super().__init__()
        self.words = TokenSequence(
            "text_conv", inputs, settings.embedding, dropout=settings.embedding_dropout, out=width
        )
        after = settings.filters * len(settings.widths)
        stages = [
            ConvStage(after if place else self.words.width, settings.filters, settings.widths, settings.dropout)
            for place in range(settings.layers)
        ]
        self.stages = nn.ModuleList(stages)
        self.shapes: Sequence[Shape] = [
            Shape("sequence", self.words.width),
            *([Shape("sequence", after)] * settings.layers),
        ]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return self.words(fields)  # type: ignore[no-any-return]


class ConvStage(nn.Module):
    """Filters of several widths over a sequence, ReLU, dropout: [B, S, i] -> [B, S, filters x widths]."""

    def __init__(self, inputs: int, filters: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.inputs, self.filters, self.widths = inputs, filters, tuple(widths)
        self.filtering = nn.ModuleList(nn.Conv1d(inputs, filters, width) for width in widths)
        self.dropout = FeatureDropout(dropout)

    def forward(self, signal: Signal) -> Signal:
        channels = real(signal).transpose(-1, -2)
        found = [
            layer(F.pad(channels, ((width - 1) // 2, width // 2)))
            for layer, width in zip(self.filtering, self.widths, strict=True)
        ]
        return signal.of(self.dropout(torch.relu(torch.cat(found, -2)).transpose(-1, -2)))

    def stacked(self, copies: int) -> ConvStage:
        many = ConvStage(self.inputs, self.filters, self.widths, self.dropout.p)
        many.filtering = nn.ModuleList(stack_layer(layer, copies) for layer in self.filtering)
        return many
