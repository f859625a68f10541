"""Encoders of texts: each against torch's own layers or a plain loop; rows do not see each other's filler; empty rows are rows."""

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
from cotrain.encoders.mlp import MLP
from cotrain.encoders.text_conv import TextConv
from cotrain.encoders.text_gru import TextGRU
from cotrain.encoders.text_transformer import TextTransformer, turned
from cotrain.encoders.token_sequence import TokenSequence
from cotrain.heads.pooling import Pooling

SPEC = {
    "title": FieldSpec("tokens", ("title",), (9,), vocabulary="v"),
    "body": FieldSpec("tokens", ("body",), (9,), vocabulary="v"),
}
ENCODERS: dict[str, Any] = {
    "text_conv": TextConv(embedding=6, widths=[2, 3], filters=4, layers=2, dropout=0.0, embedding_dropout=0.0),
    "text_gru": TextGRU(embedding=6, width=8, layers=2, dropout=0.0, embedding_dropout=0.0),
    "text_transformer": TextTransformer(width=8, heads=2, hidden=12, dropout=0.0, embedding_dropout=0.0),
}
every = pytest.mark.parametrize("name", ENCODERS)


def text(lines: list[list[int]], present: list[bool] | None = None) -> Field:
    lengths = torch.tensor([len(line) for line in lines])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    values = torch.tensor([code for line in lines for code in line], dtype=torch.int64)
    return Field(values, torch.tensor(present or [True] * len(lines)), offsets)


ROWS = {"title": text([[2, 3], [4], [], []], [True, True, True, False]), "body": text([[5], [6, 7, 8, 2], [3, 0], []])}


def run(encoder: Any, fields: dict[str, Field]) -> Signal:
    signal: Signal = encoder.embed(fields)
    for stage in encoder.stages:
        signal = stage(signal)
    return signal


def jittered(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def test_columns_stand_one_after_the_other_with_a_vector_of_their_own_added() -> None:
    front = TokenSequence("text_conv", SPEC, 5, dropout=0.0)
    jittered(front)
    signal = front(ROWS)
    assert signal.values.shape == (4, 5, 5)
    assert signal.mask.sum(1).tolist() == [3, 5, 2, 0]
    table, columns = front.table.weight, front.columns
    assert len(table) == 9  # one vocabulary, one table
    torch.testing.assert_close(signal.values[0, :2], table[[2, 3]] + columns[0])
    torch.testing.assert_close(signal.values[0, 2], table[5] + columns[1])
    torch.testing.assert_close(signal.values[1, 1:], table[[6, 7, 8, 2]] + columns[1])
    assert not signal.values[3].any()
    apart = {name: FieldSpec("tokens", (name,), (9,)) for name in SPEC}
    assert len(TokenSequence("text_conv", apart, 5, dropout=0.0).table.weight) == 18


def test_a_row_that_does_not_have_the_field_has_no_tokens_of_it() -> None:
    front = TokenSequence("text_conv", {"title": SPEC["title"]}, 5, dropout=0.0)
    given = text([[2, 3], [4, 5, 6]], [True, False])
    assert front({"title": given}).mask.sum(1).tolist() == [2, 0]


@every
def test_shapes_are_what_comes_out(name: str) -> None:
    encoder = ENCODERS[name].build(SPEC)
    signals = [encoder.embed(ROWS)]
    for stage in encoder.stages:
        signals.append(stage(signals[-1]))
    assert [Shape.of(one) for one in signals] == list(encoder.shapes)
    assert all(torch.equal(one.mask, signals[0].mask) for one in signals)
    assert ENCODERS[name].build(SPEC, width=16).embed(ROWS).values.shape == (4, 5, 16)


@every
def test_a_row_does_not_depend_on_the_rows_beside_it(name: str) -> None:
    encoder = ENCODERS[name].build(SPEC).eval()
    jittered(encoder)
    together = run(encoder, ROWS)
    for row in range(4):
        alone = run(encoder, {key: one.select(torch.tensor([row])) for key, one in ROWS.items()})
        length = int(together.mask[row].sum())
        torch.testing.assert_close(alone.values[0, :length], together.values[row, :length])
        for pooled in (Signal.pooled,):
            torch.testing.assert_close(pooled(alone)[0], pooled(together)[row])


@every
def test_rows_without_any_token_are_finite_and_so_are_gradients(name: str) -> None:
    encoder = ENCODERS[name].build(SPEC)
    nothing = {"title": text([[], []], [True, False]), "body": text([[], []])}
    signal = run(encoder, nothing)
    assert signal.values.shape[:2] == (2, 1)
    assert not signal.pooled().any()
    (run(encoder, ROWS).values.square().sum() + signal.values.square().sum()).backward()
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in encoder.parameters())


@pytest.mark.parametrize("cls", [TextConv, TextGRU])
def test_dropout_leaves_the_largest_values_over_a_text_as_large_as_they_are(cls: Any) -> None:
    """A feature is left out of a row at all its steps or at none: the mean over many draws is what evaluation gives."""
    encoder = cls(embedding=6, dropout=0.5, embedding_dropout=0.0).build(SPEC)
    signal, pool = encoder.embed(ROWS), Pooling(encoder.shapes[1:], "max")
    expected = pool([encoder.eval().stages[0](signal)]).detach()
    encoder.train()
    draws = torch.stack([pool([encoder.stages[0](signal)]) for _ in range(400)]).detach()
    assert bool(((draws == 0) | torch.isclose(draws, 2 * expected)).all())
    torch.testing.assert_close(draws.mean(0), expected, atol=0.25 * float(expected.abs().max()), rtol=0.0)


@every
def test_the_order_of_words_matters(name: str) -> None:
    encoder = ENCODERS[name].build({"body": SPEC["body"]}).eval()
    one, other = (run(encoder, {"body": text([line])}).pooled() for line in ([2, 3, 4, 5], [5, 4, 3, 2]))
    assert not torch.allclose(one, other)


def test_convolutions_are_a_loop_over_places() -> None:
    encoder = TextConv(embedding=3, widths=[2, 3, 4], filters=2, dropout=0.0, embedding_dropout=0.0).build(SPEC)
    embedded = encoder.embed(ROWS)
    out = encoder.stages[0](embedded).values
    for row in range(3):
        words = embedded.values[row, : int(embedded.mask[row].sum())]
        for place in range(len(words)):
            found = []
            for layer, width in zip(encoder.stages[0].filtering, (2, 3, 4), strict=True):
                total = layer.bias.clone()
                for step in range(width):
                    at = place - (width - 1) // 2 + step
                    if 0 <= at < len(words):
                        total = total + layer.weight[:, :, step] @ words[at]
                found.append(total.relu())
            torch.testing.assert_close(out[row, place], torch.cat(found))


def test_the_recurrent_unit_is_torchs_own() -> None:
    encoder = TextGRU(embedding=6, width=8, dropout=0.0, embedding_dropout=0.0).build(SPEC)
    stage, signal = encoder.stages[0], encoder.embed(ROWS)
    theirs = nn.GRU(6, 4, batch_first=True, bidirectional=True)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ends = ("_l0", "_l0_reverse")
    theirs.load_state_dict(
        dict(
            zip(
                [name + end for end in ends for name in names],
                [one.detach() for one in stage.parameters()],
                strict=True,
            )
        )
    )
    out = stage(signal).values
    for row in range(3):
        length = int(signal.mask[row].sum())
        expected, _ = theirs(signal.values[row : row + 1, :length])
        torch.testing.assert_close(out[row, :length], expected[0])
        assert not out[row, length:].any()


def test_blocks_are_torchs_pre_norm_layer_but_for_the_turned_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotrain.encoders.text_transformer.turned", lambda x: x)
    encoder = TextTransformer(blocks=1, width=8, heads=2, hidden=12, dropout=0.0, embedding_dropout=0.0).build(SPEC)
    jittered(encoder)
    block, signal = (
        encoder.stages[0],
        encoder.embed({key: one.select(torch.tensor([0, 1, 2])) for key, one in ROWS.items()}),
    )
    theirs = nn.TransformerEncoderLayer(8, 2, 12, 0.0, F.gelu, batch_first=True, norm_first=True)
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": block.asked.weight, "self_attn.in_proj_bias": block.asked.bias,
            "self_attn.out_proj.weight": block.out.weight, "self_attn.out_proj.bias": block.out.bias,
            "linear1.weight": block.wide.weight, "linear1.bias": block.wide.bias,
            "linear2.weight": block.narrow.weight, "linear2.bias": block.narrow.bias,
            "norm1.weight": block.before.weight, "norm1.bias": block.before.bias,
            "norm2.weight": block.between.weight, "norm2.bias": block.between.bias,
        }
    )  # fmt: skip
    expected = block.after(theirs(signal.values, src_key_padding_mask=~signal.mask))
    out = block(signal)
    torch.testing.assert_close(out.values[signal.mask], expected[signal.mask])


def test_turned_vectors_keep_their_length_and_know_only_distances() -> None:
    one, other = torch.randn(6), torch.randn(6)
    first, second = turned(one.expand(9, 6)), turned(other.expand(9, 6))
    torch.testing.assert_close(first.norm(dim=1), one.norm().expand(9))
    for distance in range(3):
        products = torch.stack([first[place] @ second[place + distance] for place in range(6)])
        torch.testing.assert_close(products, products[:1].expand(6))


@pytest.mark.parametrize("name", ["text_conv", "text_transformer"])
def test_copies_of_a_stage_are_stacked_layers(name: str) -> None:
    encoder = ENCODERS[name].build(SPEC)
    width, mask = encoder.shapes[1].width, torch.arange(5) < torch.tensor([[3], [5], [1], [0]])
    x = torch.randn(3, 4, 5, width)
    many = stack(encoder.stages[1], 3)
    assert list(loops_in(many)) == []
    jittered(many)
    out = many(Signal(x, "sequence", mask))
    for copy in range(3):
        one = encoder.stages[1]
        own = {key: value.shape for key, value in one.state_dict().items()}
        one.load_state_dict({key: value.reshape(3, *own[key])[copy] for key, value in many.state_dict().items()})
        torch.testing.assert_close(out.values[copy], one(Signal(x[copy], "sequence", mask)).values)


def test_other_kinds_of_inputs_are_refused_with_what_to_do() -> None:
    mixed = {**SPEC, "numbers": FieldSpec("number", names=("age", "pay"))}
    for one in ENCODERS.values():
        with pytest.raises(
            ConfigError, match=r"reads texts as tokens; input 'numbers' is of kind 'number' \(age, pay\)"
        ):
            one.build(mixed)
        with pytest.raises(ConfigError, match=r"data.text.encoding: tokens"):
            one.build({"words": FieldSpec("bag", names=("a",))})
        with pytest.raises(ConfigError, match="was given no text"):
            one.build({})
    with pytest.raises(ConfigError, match=r"data.text.encoding: bag"):
        MLP().build(SPEC)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (TextConv, {"widths": ()}), (TextConv, {"widths": (0,)}), (TextConv, {"filters": 0}), (TextConv, {"dropout": 1.0}),
        (TextGRU, {"width": 7}), (TextGRU, {"layers": 0}), (TextGRU, {"embedding_dropout": -1}),
        (TextTransformer, {"width": 12}), (TextTransformer, {"blocks": 0}), (TextTransformer, {"hidden": 0}),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(cls: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{cls.name}.{next(iter(wrong))}"):
        cls(**wrong)
