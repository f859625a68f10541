"""FT-Transformer: its attention and blocks against torch's own layers, its tokens against their formulas, as stacked copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cotrain.core.errors import ConfigError
from cotrain.core.fields import Field
from cotrain.core.signals import Shape, Signal
from cotrain.core.spec import FieldSpec
from cotrain.core.stacked import loops_in, stack
from cotrain.encoders.attention import Attention
from cotrain.encoders.ft_transformer import FTTransformer
from cotrain.encoders.piecewise_linear import PiecewiseLinear

SPEC = {
    "x": FieldSpec("number", names=("a", "b"), quantiles=((-1.0, 0.0, 1.0), (0.0, 1.0))),
    "words": FieldSpec("bag", names=("the", "cat", "sat")),
    "c": FieldSpec("category", names=("d", "e"), cardinalities=(4, 3)),
}
SMALL = FTTransformer(blocks=2, width=8, heads=2, attention_dropout=0.0, dropout=0.0)


def fields(rows: int = 5) -> dict[str, Field]:
    codes = torch.stack([torch.randint(4, (rows,)), torch.randint(3, (rows,))], 1)
    return {
        "x": Field.dense(torch.randn(rows, 2)),
        "words": Field.dense(torch.rand(rows, 3)),
        "c": Field.dense(codes),
    }


def jittered(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def torchs(attention: Attention, width: int) -> nn.MultiheadAttention:
    """torch's own layer with the same weights."""
    theirs = nn.MultiheadAttention(width, attention.heads, batch_first=True)
    parts = (attention.query, attention.key, attention.value)
    theirs.load_state_dict(
        {
            "in_proj_weight": torch.cat([one.weight for one in parts]),
            "in_proj_bias": torch.cat([one.bias for one in parts]),
            "out_proj.weight": attention.out.weight,
            "out_proj.bias": attention.out.bias,
        }
    )
    return theirs


@pytest.mark.parametrize("first_only", [False, True])
def test_attention_is_torchs_own(first_only: bool) -> None:
    attention = Attention(8, 2, dropout=0.0, first_only=first_only)
    assert bool((attention.query.bias == 0).all())
    jittered(attention)
    x = torch.randn(3, 5, 8)
    expected, _ = torchs(attention, 8)(x[:, :1] if first_only else x, x, x)
    torch.testing.assert_close(attention(x), expected)


def test_stages_are_pre_norm_blocks_and_the_last_one_reads_the_first_token() -> None:
    encoder = SMALL.build(SPEC)
    jittered(encoder)
    signal = encoder.embed(fields())
    assert encoder.shapes == [Shape("sequence", 8), Shape("sequence", 8), Shape("vector", 8)]
    x = signal.values
    assert x.shape == (5, 6, 8)
    for place, stage in enumerate(encoder.stages):
        signal = stage(signal)
        mixing, gating = stage.layers[0].layers, stage.layers[1].layers
        normed = x if place == 0 else F.layer_norm(x, (8,), mixing[0].weight, mixing[0].bias)
        attention = next(layer for layer in mixing if isinstance(layer, Attention))
        whole, _ = torchs(attention, 8)(normed, normed, normed)
        x = x + whole
        wide = F.linear(F.layer_norm(x, (8,), gating[0].weight, gating[0].bias), gating[1].weight, gating[1].bias)
        assert wide.shape[-1] == 2 * (8 * 4 // 3)
        x = x + F.linear(wide[..., :10] * torch.relu(wide[..., 10:]), gating[4].weight, gating[4].bias)
        if place == 0:
            torch.testing.assert_close(signal.values, x)
    read = encoder.stages[-1].layers[2]
    torch.testing.assert_close(signal.values, torch.relu(F.layer_norm(x[:, 0], (8,), read.weight, read.bias)))
    assert signal.layout == "vector"


def test_tokens_are_each_columns_own() -> None:
    encoder, given = SMALL.build(SPEC), fields()
    jittered(encoder)
    tokens, out = encoder.tokens, encoder.embed(given).values
    numbers, words, categories = tokens.numbers["of_x"].parts[0], tokens.bags["of_words"], tokens.categories["of_c"]
    assert torch.equal(out[:, 0], tokens.first.expand(5, 8))
    for column in range(2):
        line = (
            given["x"].values[:, column : column + 1] * numbers.embedding.weight[column]
            + numbers.embedding.bias[column]
        )
        torch.testing.assert_close(out[:, 1 + column], line)
    torch.testing.assert_close(out[:, 3], F.linear(given["words"].values, words.weight, words.bias))
    table = categories.table.table.weight
    for column, start in enumerate((0, 4)):
        torch.testing.assert_close(
            out[:, 4 + column], table[start + given["c"].values[:, column]] + categories.bias[column]
        )


def test_embedded_numbers_are_tokens_as_wide_as_the_others() -> None:
    settings = FTTransformer(blocks=1, width=8, heads=2, numbers=PiecewiseLinear(bins=2))
    encoder = settings.build(SPEC)
    assert encoder.embed(fields()).values.shape == (5, 6, 8)
    assert [len(part.missing) for part in encoder.tokens.numbers["of_x"].parts] == [1, 1]


def test_copies_of_blocks_are_stacked_layers() -> None:
    encoder = SMALL.build(SPEC)
    x = torch.randn(3, 4, 6, 8)
    for stage in encoder.stages:
        many = stack(stage, 3)
        assert list(loops_in(many)) == []
        jittered(many)
        out = many(Signal(x, "sequence"))
        for copy in range(3):
            stage.load_state_dict({name: one[copy] for name, one in many.state_dict().items()})
            torch.testing.assert_close(out.values[copy], stage(Signal(x[copy], "sequence")).values)
    assert out.layout == "vector"


def test_the_order_of_columns_does_not_matter_to_what_is_read() -> None:
    encoder = SMALL.build(SPEC).eval()
    tokens = encoder.embed(fields()).values
    other = torch.cat([tokens[:, :1], tokens[:, 1:].flip(1)], 1)
    read = []
    for values in (tokens, other):
        signal = Signal(values, "sequence")
        for stage in encoder.stages:
            signal = stage(signal)
        read.append(signal.values)
    torch.testing.assert_close(read[0], read[1])


@pytest.mark.parametrize(
    "wrong",
    [{"blocks": 0}, {"width": 20}, {"heads": 0}, {"hidden": 0}, {"dropout": 1.0}, {"attention_dropout": -0.1}, {"residual_dropout": 2},
     {"numbers": PiecewiseLinear(width=16)}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"ft_transformer.{next(iter(wrong))}"):
        FTTransformer(**wrong)
