"""A transformer over the words of a text: norms before each part, rotary positions, attention to real words alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import stack_layer
from cotrain.encoders.attention import without_bias
from cotrain.encoders.layers import check_count, check_share
from cotrain.encoders.token_sequence import TokenSequence, real


@dataclass(frozen=True, kw_only=True)
class TextTransformer:
    """One stage a block: x + dropout(attention(norm(x))), then x + dropout(W_2 dropout(gelu(W_1 norm(x)))); a norm after the last.

    Queries and keys are turned by angles that grow with their place, so that attention knows how far apart two words are.
    blocks: at least 1. width: of a word's vector, a multiple of 2 x heads. hidden: width inside the second part, null for 4 x `width`.
    dropout: of what each part adds, inside the second and of attention's weights, embedding_dropout: of the vectors' numbers, in [0, 1).
    Several columns of texts are read one after the other.

    Source: A. Vaswani et al., Attention Is All You Need, NeurIPS 2017, section 3; norms before the parts: R. Xiong et al., On Layer
    Normalization in the Transformer Architecture, ICML 2020; places: J. Su et al., RoFormer, Neurocomputing 2024, section 3.
    """

    name: ClassVar[str] = "text_transformer"
    source: ClassVar[str] = "A. Vaswani et al., NeurIPS 2017; J. Su et al., RoFormer, Neurocomputing 2024"
    reads: ClassVar[tuple[str, ...]] = ("tokens",)
    head_pool: ClassVar[str] = "mean"
    blocks: int = 2
    width: int = 128
    heads: int = 4
    hidden: int | None = None
    dropout: float = 0.2
    embedding_dropout: float = 0.2

    def __post_init__(self) -> None:
        for setting in ("blocks", "width", "heads"):
            check_count(f"text_transformer.{setting}", getattr(self, setting))
        if self.hidden is not None:
            check_count("text_transformer.hidden", self.hidden)
        check_heads("text_transformer", self.width, self.heads)
        for setting in ("dropout", "embedding_dropout"):
            check_share(f"text_transformer.{setting}", getattr(self, setting))

    def build(self, inputs: InputSpec, width: int | None = None) -> TextTransformerEncoder:
        return TextTransformerEncoder(inputs, self, width)


def check_heads(encoder: str, width: int, heads: int) -> None:
    """Raises ConfigError unless each head has an even number of the width's numbers: places turn them in pairs."""
    if width % (2 * heads):
        raise ConfigError(
            f"{encoder}.width must be a multiple of 2 x heads ({2 * heads}), got {width}; {max(width // (2 * heads), 1) * 2 * heads} is one"
        )


class TextTransformerEncoder(nn.Module):
    """`embed` gives the words' vectors [B, S, D]; each stage is a block, the last one ends in a norm."""

    def __init__(self, inputs: InputSpec, settings: TextTransformer, width: int | None) -> None:
        super().__init__()
        wide = width or settings.width
        check_heads("text_transformer", wide, settings.heads)
        self.words = TokenSequence(
            "text_transformer", inputs, settings.width, dropout=settings.embedding_dropout, out=width
        )
        hidden, last = settings.hidden or 4 * wide, settings.blocks - 1
        self.stages = nn.ModuleList(
            Block(wide, settings.heads, hidden, settings.dropout, ends=place == last)
            for place in range(settings.blocks)
        )
        self.shapes: Sequence[Shape] = [Shape("sequence", wide)] * (settings.blocks + 1)

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return self.words(fields)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention among a row's real steps, then two linear layers, each beside a short cut: [B, S, D] -> [B, S, D]; stacked [E, B, S, D].

    ends: with a norm after it. A row without any real step attends to its filler, so that nothing is divided by 0.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, *, ends: bool = False) -> None:
        super().__init__()
        self.width, self.heads, self.hidden, self.rate, self.ends = width, heads, hidden, dropout, ends
        self.before: nn.Module = nn.LayerNorm(width)
        self.asked: nn.Module = without_bias(nn.Linear(width, 3 * width))
        self.out: nn.Module = without_bias(nn.Linear(width, width))
        self.between: nn.Module = nn.LayerNorm(width)
        self.wide: nn.Module = nn.Linear(width, hidden)
        self.narrow: nn.Module = nn.Linear(hidden, width)
        self.after: nn.Module = nn.LayerNorm(width) if ends else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, signal: Signal) -> Signal:
        x = real(signal)
        x = x + self.dropout(self.out(self.attended(self.before(x), signal.mask)))
        x = x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(self.between(x))))))
        return signal.of(self.after(x))

    def attended(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What each step gathers from the others, before W_o."""
        parts = self.asked(x).unflatten(-1, (3, self.heads, -1))  # [..., B, S, 3, H, D / H]
        query, key, value = parts.flatten(0, -5).permute(2, 0, 3, 1, 4)
        seen = None
        if mask is not None:
            seen = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
            seen = seen.repeat(len(query) // len(mask), 1, 1, 1)
        rate = self.rate if self.training else 0.0
        mixed = F.scaled_dot_product_attention(turned(query), turned(key), value, attn_mask=seen, dropout_p=rate)
        return mixed.transpose(1, 2).reshape(x.shape)

    def stacked(self, copies: int) -> Block:
        many = Block(self.width, self.heads, self.hidden, self.rate, ends=self.ends)
        for name, layer in list(many.named_children()):
            setattr(many, name, stack_layer(layer, copies))
        for name in ("asked", "out"):
            without_bias(getattr(many, name))
        return many


def turned(x: Tensor) -> Tensor:
    """Rotary positions: the pair (x_i, x_{i + d/2}) of the vector at place s turned by the angle s 10000^(-2 i / d), [..., S, d] -> alike.

    The product of two turned vectors depends on their places' distance alone.

    >>> one = turned(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> [round(number, 4) for number in one[1].tolist()]
    [0.5403, 0.8415]
    """
    steps, half = x.shape[-2], x.shape[-1] // 2
    place = torch.arange(steps, dtype=torch.float32, device=x.device)
    speed = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=x.device) / half)
    angle = torch.outer(place, speed)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)
