"""Texts as tokens: codes below the vocabulary, 0 for what training never showed, the same for every row that ever comes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cotrain.core.errors import ConfigError, DataError
from cotrain.data.columns import FieldEncoder
from cotrain.data.encode import TableEncoder
from cotrain.data.feature_settings import TextSettings
from cotrain.data.infer import Column
from cotrain.data.settings import DataSettings
from cotrain.data.tokenizer import opened
from cotrain.data.tokens import TokenEncoder, Tokenizer, tokenizers

TEXTS = ["Good food, really good!", "good wine. Bad service", "bad, bad food", "the wine was good"]


def encoder(texts: list[str | None] = TEXTS, length: int = 256, **settings: object) -> TokenEncoder:  # type: ignore[assignment]
    column = pl.Series("note", texts, dtype=pl.String)
    return TokenEncoder("note", Tokenizer.fit([column], TextSettings(**settings)), length)  # type: ignore[arg-type]


def rows(one: TokenEncoder, texts: list[str | None]) -> list[list[int]]:
    field, _ = one.whole(pl.DataFrame({"note": pl.Series(texts, dtype=pl.String)}))
    field.check("note")
    ends = field.offsets.tolist()
    return [field.values[begin:end].tolist() for begin, end in pairwise(ends)]


def vocabulary(one: TokenEncoder) -> dict[str, int]:
    return opened(one.tokenizer.text, 8).get_vocab()


def test_words_are_counted_as_by_hand() -> None:
    """Small letters, punctuation apart, the most frequent first, each met twice at least."""
    one = encoder(tokenizer="word", min_count=2)
    counts = Counter(" ".join(TEXTS).lower().replace(",", " , ").replace("!", " ! ").replace(".", " . ").split())
    kept = {word for word, count in counts.items() if count >= 2}
    found = vocabulary(one)
    assert set(found) - {"[UNK]", "[PAD]"} == kept
    assert (found["[UNK]"], found["[PAD]"], found["good"]) == (0, 1, 2)
    assert one.spec.cardinalities == (len(kept) + 2,)
    assert rows(one, ["GOOD, bad"]) == [[found["good"], found[","], found["bad"]]]


def test_what_training_never_showed_is_code_zero_and_nothing_gives_code_one() -> None:
    one = encoder(tokenizer="word", min_count=1)
    assert rows(one, ["good zebra", "[PAD] [UNK]"])[0][1] == 0
    assert 1 not in rows(one, ["[PAD]", "[UNK] [PAD] good"])[0]
    for how in ("bpe", "character"):
        assert all(1 not in row for row in rows(encoder(tokenizer=how, min_count=1), ["[PAD] and [UNK]", "good"]))


def test_byte_pairs_know_every_text_and_merge_what_is_frequent() -> None:
    one = encoder(TEXTS * 5, tokenizer="bpe", vocabulary=300)
    assert one.spec.cardinalities[0] <= 300
    (row,) = rows(one, ["good naïve 房间 🙂"])
    assert 0 not in row
    assert len(rows(one, ["good"])[0]) < 4  # fewer than letters


def test_characters_are_one_code_each_and_are_chosen_for_texts_without_blanks() -> None:
    chinese = ["房间很干净，服务也很好", "服务很差，房间不干净"] * 3
    one = encoder(chinese)
    assert one.tokenizer.what == "character"
    assert [len(row) for row in rows(one, ["房间很好"])] == [4]
    assert encoder().tokenizer.what == "word"


def test_missing_and_empty_texts_are_rows_of_no_token() -> None:
    one = encoder([*TEXTS, None])
    field, notes = one.whole(pl.DataFrame({"note": ["good", None, "", "   "]}))
    assert field.lengths().tolist() == [1, 0, 0, 0]
    assert field.present.tolist() == [True, False, True, True]
    assert notes == []
    nothing = encoder([None, None])  # no text at all: two reserved codes
    assert nothing.spec.cardinalities == (2,)
    assert rows(nothing, ["good"]) == [[0]]


def test_long_texts_are_cut_off_and_counted() -> None:
    one = encoder(length=3, tokenizer="word", min_count=1)
    assert [len(row) for row in rows(one, ["good food", "the wine was good", "good"])] == [2, 3, 1]
    cut, broken = one.changes(pl.DataFrame({"note": ["good food", "the wine was good", None]}))
    assert (cut.step, cut.cells.tolist()) == ("text cut off", [False, True, False])
    assert "3 tokens" in cut.detail
    assert not broken.cells.any()


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=30)), min_size=1, max_size=8),
    st.sampled_from(["word", "bpe", "character"]),
)
def test_whatever_is_written_has_codes_below_the_vocabulary_row_by_row(texts: list[str | None], how: str) -> None:
    one = encoder(TEXTS, length=12, tokenizer=how, min_count=1)
    together = rows(one, texts)
    assert together == [rows(one, [text])[0] for text in texts]
    assert all(0 <= code < one.spec.cardinalities[0] and code != 1 for row in together for code in row)
    assert max(map(len, together)) <= 12


def test_an_encoder_comes_back_from_json_to_the_last_bit() -> None:
    for how in ("word", "bpe", "character"):
        one = encoder(TEXTS * 4, tokenizer=how, length=7)
        again = TokenEncoder.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
        assert again == one
        assert rows(again, ["Good food, naïve!"]) == rows(one, ["Good food, naïve!"])
        assert again.spec == one.spec
        assert isinstance(again, FieldEncoder)


def test_training_twice_gives_the_same_tokenizer_whatever_the_order_of_rows() -> None:
    for how in ("word", "character"):
        assert encoder(TEXTS * 4, tokenizer=how) == encoder((TEXTS * 4)[::-1], tokenizer=how)
    assert encoder(TEXTS * 4, tokenizer="bpe") == encoder(TEXTS * 4, tokenizer="bpe")


def test_columns_with_the_same_settings_share_a_tokenizer_and_others_do_not() -> None:
    frame = pl.DataFrame({"a": TEXTS, "b": [text.upper() for text in TEXTS], "c": TEXTS, "d": TEXTS})
    same, other = (TextSettings("tokens", min_count=1, vocabulary=size) for size in (20_000, 5))
    found = tokenizers(
        frame, {"a": same, "b": TextSettings("tokens", min_count=1, length=4), "d": TextSettings("bag"), "c": other}
    )
    assert found["a"] is found["b"]
    assert found["a"].mark != found["c"].mark
    assert found["c"].size == 5
    assert "d" not in found


def test_bytes_are_texts_and_broken_ones_are_refused_with_their_row_or_made_missing() -> None:
    cells = pl.DataFrame({"note": [b"good food", b"\xff\xfe\x00", b"bad", b"\xc3"]})
    one = encoder()
    with pytest.raises(
        DataError, match=r"column 'note', row 2: text written in UTF-8 .* 2 such cells of 4.*data.text.broken"
    ):
        one.whole(cells)
    lenient = TokenEncoder("note", one.tokenizer, broken="missing")
    field, notes = lenient.whole(cells)
    assert field.present.tolist() == [True, False, True, False]
    assert notes == ["column 'note': 2 cells are no text and were made missing, the first in row 2"]
    assert lenient.changes(cells)[1].cells.tolist() == [False, True, False, True]


def test_a_table_has_a_field_for_every_text_beside_those_of_its_numbers() -> None:
    frame = pl.DataFrame({"words": TEXTS, "x": [1.0, 2.0, 3.0, 4.0]})
    columns = [Column("words", "text", "", 0, 4), Column("x", "number", "", 0, 4)]
    made = TableEncoder.fit(frame, columns, DataSettings(text=TextSettings(encoding="tokens", min_count=1)))
    assert list(made.specs) == ["numbers", "words_"]
    fields, _ = made.encode(frame)
    assert fields["words_"].offsets is not None
    again = TableEncoder.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    other, _ = again.encode(frame[::-1])
    assert torch.equal(other["words_"].select(torch.tensor([3, 2, 1, 0])).values, fields["words_"].values)
    bag = TableEncoder.fit(frame, columns, DataSettings())
    assert list(bag.specs) == ["numbers", "words"]


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"encoding": "token"}, "encoding", "did you mean 'tokens'"),
        ({"tokenizer": "words"}, "tokenizer", "did you mean 'word'"),
        ({"vocabulary": 2}, "vocabulary", "at least 3"),
        ({"length": 0}, "length", "at least 1"),
        ({"broken": "drop"}, "broken", "missing"),
        ({"tokenizer": "pretrained"}, "pretrained", "needs both"),
        ({"pretrained": "bert-base-uncased"}, "pretrained", "needs both"),
        ({"encoding": "bag", "length": 9}, "length", "encoding 'bag' does not read it"),
        ({"encoding": "tokens", "features": 9}, "features", "encoding 'tokens' does not read it"),
        ({"tokenizer": "pretrained", "pretrained": "x", "vocabulary": 9}, "vocabulary", "a pretrained tokenizer does not read it"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, object], key: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"data.text.{key}") as error:
        TextSettings(**settings)  # type: ignore[arg-type]
    assert says in str(error.value)


def test_a_pretrained_tokenizer_gives_its_models_codes_plus_two(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "food", "bad"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    theirs = transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt"))
    theirs.save_pretrained(tmp_path / "kept")
    name = str(tmp_path / "kept")
    found = Tokenizer.fit([], TextSettings(tokenizer="pretrained", pretrained=name))
    one = TokenEncoder("note", found, length=5)
    expected = theirs("good zebra food")["input_ids"]
    assert rows(one, ["good zebra food"]) == [[0 if code == theirs.unk_token_id else code + 2 for code in expected]]
    assert one.spec.vocabulary == name
    (tmp_path / "kept").rename(tmp_path / "moved")  # the tokenizer itself is stored
    assert TokenEncoder.from_json(one.to_json()) == one
    assert len(rows(one, ["good " * 9])[0]) == 5
    assert rows(one, ["good " * 9])[0][-1] == words.index("[SEP]") + 2
    with pytest.raises(ConfigError, match="no tokenizer can be had"):
        Tokenizer.fit([], TextSettings(tokenizer="pretrained", pretrained=str(tmp_path / "nowhere")))


def test_codes_are_whole_numbers_of_64_bits() -> None:
    field, _ = encoder().whole(pl.DataFrame({"note": TEXTS}))
    assert field.values.dtype == torch.int64
    assert np.asarray(field.offsets).dtype == np.int64
