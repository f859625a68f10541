"""Bidirectional gated recurrent units over the words of a text (Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.encoders.layers import check_count, check_share
from cotrain.encoders.token_sequence import FeatureDropout, TokenSequence, real


@dataclass(frozen=True, kw_only=True)
class TextGRU:
    """One stage a layer: at each word the state of a unit that read the text up to it beside that of one that read it from its end.

        h_s = (1 - z) n + z h_{s-1},   z = sigmoid(W_z x_s + U_z h_{s-1} + b_z),   r = sigmoid(W_r x_s + U_r h_{s-1} + b_r),
        n = tanh(W_n x_s + b_n + r (U_n h_{s-1} + c_n)),   and dropout after each layer

    Units begin and end at each text's own ends. Heads take the largest value of each number over the text, unless another `pool` is said.
    embedding: width of a word's vector. width: of a layer's output, half of it for each direction, so even. layers: at least 1.
    dropout: after each layer, of a text's numbers, each at all words or at none; embedding_dropout: of the vectors' numbers; in [0, 1).
    Several columns of texts are read one after the other.
    Copies of a layer stay a loop: no product can hold several units at once.

    Source: K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014, section 2.3, in the form torch computes
    (r inside the bracket). The largest value over a bidirectional unit's states: A. Conneau et al., EMNLP 2017, section 3.2.
    """

    name: ClassVar[str] = "text_gru"
    source: ClassVar[str] = "K. Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, EMNLP 2014"
    reads: ClassVar[tuple[str, ...]] = ("tokens",)
    head_pool: ClassVar[str] = "max"
    embedding: int = 128
    width: int = 256
    layers: int = 1
    dropout: float = 0.5
    embedding_dropout: float = 0.2

    def __post_init__(self) -> None:
        for setting in ("embedding", "width", "layers"):
            check_count(f"text_gru.{setting}", getattr(self, setting))
        if self.width % 2:
            raise ConfigError(
                f"text_gru.width is shared by two directions and must be even, got {self.width}; {self.width + 1} is"
            )
        for setting in ("dropout", "embedding_dropout"):
            check_share(f"text_gru.{setting}", getattr(self, setting))

    def build(self, inputs: InputSpec, width: int | None = None) -> TextGRUEncoder:
        return TextGRUEncoder(inputs, self, width)


class TextGRUEncoder(nn.Module):
    """`embed` gives the words' vectors [B, S, D]; each stage is a unit in both directions."""

    def __init__(self, inputs: InputSpec, settings: TextGRU, width: int | None) -> None:
        super().__init__()
        self.words = TokenSequence(
            "text_gru", inputs, settings.embedding, dropout=settings.embedding_dropout, out=width
        )
        widths = [self.words.width, *([settings.width] * settings.layers)]
        self.stages = nn.ModuleList(GRUStage(wide, settings.width, settings.dropout) for wide in widths[:-1])
        self.shapes: Sequence[Shape] = [Shape("sequence", wide) for wide in widths]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return self.words(fields)  # type: ignore[no-any-return]


class GRUStage(nn.Module):
    """A gated recurrent unit in both directions, [B, S, i] -> [B, S, width], each within a row's real steps; 0 at the others.

    The real steps of a row must be its first ones. Weights [3, width / 2, ...] stand in the order r, z, n.
    Initial values uniform in +-1/sqrt(width / 2), as torch's own.
    """

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        half = width // 2
        self.wide = half
        for direction in ("forth", "back"):
            shapes = {"input": (3 * half, inputs), "state": (3 * half, half), "input_bias": (3 * half,), "state_bias": (3 * half,)}  # fmt: skip
            for name, shape in shapes.items():
                self.register_parameter(f"{direction}_{name}", nn.Parameter(torch.empty(shape)))
        self.dropout = FeatureDropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values."""
        for one in self.parameters():
            nn.init.uniform_(one, -(self.wide**-0.5), self.wide**-0.5)

    def forward(self, signal: Signal) -> Signal:
        values = real(signal)
        rows, steps, _ = values.shape
        lengths = torch.full((rows,), steps) if signal.mask is None else signal.mask.sum(1).cpu().clamp_min(1)
        packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        weights: list[Tensor] = list(self.parameters())
        begin = values.new_zeros(2, rows, self.wide)
        states, _ = torch.gru(packed.data, packed.batch_sizes, begin, weights, True, 1, 0.0, self.training, True)
        again = PackedSequence(states, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        out, _ = pad_packed_sequence(again, batch_first=True, total_length=steps)
        return signal.of(self.dropout(out))
