"""Every column a token, then attention among them: FT-Transformer (Gorishniy et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import InputSpec
from cotrain.core.stacked import Residual, Stage
from cotrain.encoders.attention import Attention, FirstResidual, FirstTokenStage, GatedReLU
from cotrain.encoders.layers import check_count, check_share
from cotrain.encoders.linear_numbers import LINEAR
from cotrain.encoders.number_embedding import NumberEmbedding, check_embedding
from cotrain.encoders.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class FTTransformer:
    """Tokens of all columns behind a CLS token, in pre-norm blocks of attention and a gated layer: one stage a block.

        x + dropout(attention(norm(x))),  then  x + dropout(W_2 dropout(ReGLU(W_1 norm(x))))

    The last stage ends by reading the CLS token, ReLU(norm(x_CLS)): a vector, which heads take as it is.

    blocks: how many, at least 1. width: of a token, a multiple of heads. hidden: width inside the gated layer, null for 4/3 of `width`.
    attention_dropout, dropout (inside the gated layer), residual_dropout: in [0, 1). numbers: how numbers become tokens: linear (w_c x + b_c),
    piecewise_linear or periodic, as wide as a token. A category is a row of its column's table plus the column's bias; a bag of words
    is one token, W x + b. A missing number is a token learnt for its column.

    Source: Y. Gorishniy, I. Rubachev, V. Khrulkov, A. Babenko, Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021,
    section 3.3; defaults of the paper's table of default settings. As there, the first block has no norm before attention.
    The last block attends from the CLS token alone, which gives the same answer for less.
    """

    name: ClassVar[str] = "ft_transformer"
    source: ClassVar[str] = "Y. Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021"
    blocks: int = 3
    width: int = 192
    heads: int = 8
    hidden: int | None = None
    attention_dropout: float = 0.2
    dropout: float = 0.1
    residual_dropout: float = 0.0
    numbers: NumberEmbedding = LINEAR

    def __post_init__(self) -> None:
        for setting in ("blocks", "width", "heads"):
            check_count(f"ft_transformer.{setting}", getattr(self, setting))
        if self.width % self.heads:
            raise ConfigError(
                f"ft_transformer.width must be a multiple of heads ({self.heads}), got {self.width}; "
                f"{self.width // self.heads * self.heads or self.heads} is one"
            )
        if self.hidden is not None:
            check_count("ft_transformer.hidden", self.hidden)
        for setting in ("attention_dropout", "dropout", "residual_dropout"):
            check_share(f"ft_transformer.{setting}", getattr(self, setting))
        check_embedding("ft_transformer", self.numbers)
        if self.numbers.width not in (None, self.width):
            raise ConfigError(
                f"ft_transformer.numbers: its tokens are {self.width} wide, got numbers of width {self.numbers.width}; leave the width "
                "of the numbers out"
            )

    def build(self, inputs: InputSpec, width: int | None = None) -> FTTransformerEncoder:
        return FTTransformerEncoder(inputs, self, width or self.width)


class FTTransformerEncoder(nn.Module):
    """`embed` gives the sequence [B, 1 + C, D], the CLS token first; each stage is a block, the last one answers a vector [B, D]."""

    def __init__(self, inputs: InputSpec, settings: FTTransformer, width: int) -> None:
        super().__init__()
        self.tokens = Tokens("ft_transformer", inputs, settings.numbers, width)
        hidden = settings.hidden or width * 4 // 3
        stages: list[nn.Module] = []
        for place in range(settings.blocks):
            last = place == settings.blocks - 1
            attention: list[nn.Module] = [
                *([nn.LayerNorm(width)] if place else []),
                Attention(width, settings.heads, dropout=settings.attention_dropout, first_only=last),
                nn.Dropout(settings.residual_dropout),
            ]
            gated = [
                nn.LayerNorm(width),
                nn.Linear(width, 2 * hidden),
                GatedReLU(),
                nn.Dropout(settings.dropout),
                nn.Linear(hidden, width),
                nn.Dropout(settings.residual_dropout),
            ]
            if last:
                read = [nn.LayerNorm(width), nn.ReLU()]
                stages.append(FirstTokenStage(FirstResidual(*attention), Residual(*gated), *read))
            else:
                stages.append(Stage(Residual(*attention), Residual(*gated)))
        self.stages = nn.ModuleList(stages)
        self.shapes: Sequence[Shape] = [Shape("sequence", width)] * settings.blocks + [Shape("vector", width)]

    def embed(self, fields: Mapping[str, Field]) -> Signal:
        return Signal(self.tokens(fields), "sequence")
