"""Texts become weights of words that training texts held, the same for every row that ever comes."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from cotrain.data.words import BagEncoder, analyzer_for

REVIEWS = [
    "The room was clean and quiet", "The food was cold, the room was dirty", "I liked the food and the quiet room",
    "Clean, quiet, cheap", "Never again: dirty and loud", "The best food I ever had", "a", "12 of 10 points",
]  # fmt: skip
CHINESE = ["房间很干净", "房间不干净，食物也不好", "食物很好，服务很好", "服务不好，房间很吵"]


@pytest.mark.parametrize(("analyzer", "ngrams"), [("word", (1, 1)), ("word", (1, 2)), ("char", (2, 3))])
def test_weights_agree_with_scikit_learn(analyzer: str, ngrams: tuple[int, int]) -> None:
    series = pl.Series("review", REVIEWS)
    encoder = BagEncoder.fit(series, features=20, ngrams=ngrams, min_count=2, analyzer=analyzer)  # type: ignore[arg-type]
    outside = TfidfVectorizer(analyzer=analyzer, ngram_range=ngrams, max_features=20, min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b" if analyzer == "word" else None).fit(REVIEWS)  # fmt: skip
    new = ["the quiet room of the best food", "nothing known"]
    assert list(encoder.vocabulary) == outside.get_feature_names_out().tolist()
    assert np.allclose(encoder.encode(pl.Series(new)), outside.transform(new).toarray(), atol=1e-6)


def test_a_weight_is_what_the_formula_says() -> None:
    encoder = BagEncoder.fit(pl.Series("x", ["a b", "a c", "a"]), ngrams=(1, 1), min_count=1)
    assert encoder.vocabulary == ("a", "b", "c")
    raw = [(1 + math.log(2)) * 1.0, 1 + math.log(4 / 2), 0.0]
    length = math.hypot(*raw)
    assert encoder.encode(pl.Series(["a b a"]))[0].tolist() == pytest.approx([one / length for one in raw], rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.none(), st.text("abc ü房.", max_size=12)), max_size=12), st.randoms())
def test_the_order_of_rows_does_not_matter_and_json_keeps_every_bit(texts: list[str | None], random: object) -> None:
    series = pl.Series("x", texts, dtype=pl.String)
    encoder = BagEncoder.fit(series, features=8)
    mixed = list(texts)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert BagEncoder.fit(pl.Series("x", mixed, dtype=pl.String), features=8) == encoder
    again = BagEncoder.from_json(json.loads(json.dumps(encoder.to_json(), allow_nan=False)))
    assert again == encoder
    weights = encoder.encode(series)
    assert np.array_equal(weights, again.encode(series))
    assert weights.shape == (len(texts), len(encoder.features))
    assert np.isfinite(weights).all()
    lengths = np.linalg.norm(weights[:, : len(encoder.vocabulary)], axis=1)
    assert all(one == pytest.approx(1.0, abs=1e-5) or one == 0.0 for one in lengths)
    for row, text in enumerate(texts):
        assert np.array_equal(encoder.encode(pl.Series("x", [text], dtype=pl.String))[0], weights[row])


def test_a_missing_text_has_no_words_and_a_mark() -> None:
    encoder = BagEncoder.fit(pl.Series("x", ["good food", "good wine", None]))
    assert encoder.features[-1] == "x is missing"
    weights = encoder.encode(pl.Series(["good", None]))
    assert weights[1].tolist() == [0.0] * len(encoder.vocabulary) + [1.0]
    assert weights[0, -1] == 0
    assert BagEncoder.fit(pl.Series("x", ["good food", "good wine"])).features[-1] != "x is missing"


def test_languages_without_blanks_are_read_by_letters() -> None:
    assert analyzer_for(pl.Series(REVIEWS)) == "word"
    encoder = BagEncoder.fit(pl.Series("x", CHINESE))
    assert encoder.analyzer == "char"
    assert "房间" in encoder.vocabulary
    assert analyzer_for(pl.Series([], dtype=pl.String)) == "word"


def test_rare_words_count_where_there_are_no_others_and_no_words_at_all_leave_a_column() -> None:
    assert BagEncoder.fit(pl.Series("x", ["one", "two"]), min_count=2, analyzer="word").vocabulary == ("one", "two")
    nothing = BagEncoder.fit(pl.Series("x", ["...", "!"]), analyzer="word")
    assert nothing.vocabulary == ()
    assert nothing.encode(pl.Series(["...", None])).tolist() == [[0.0], [1.0]]


def test_the_most_frequent_words_are_kept() -> None:
    texts = [f"word{place % 7} common w{place}" for place in range(100)]
    encoder = BagEncoder.fit(pl.Series("x", texts), features=8, ngrams=(1, 1))
    assert encoder.vocabulary == ("common", *(f"word{place}" for place in range(7)))
