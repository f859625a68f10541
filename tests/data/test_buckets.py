"""A hashed label has the same code everywhere and for ever, one never seen too."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from cotrain.data.buckets import HashEncoder, bucket


@given(st.text(max_size=8), st.integers(1, 1000))
@example("FALSE", 2)
def test_a_bucket_is_what_blake2b_says(word: str, buckets: int) -> None:
    outside = int(hashlib.blake2b(word.encode(), digest_size=8).hexdigest(), 16) % buckets
    assert bucket(word, buckets) == outside
    found = HashEncoder("x", buckets).encode(pl.Series([word, None])).tolist()
    label = (
        word.lower() if word.lower() in ("true", "false") else word
    )  # truth values are one label however they are written
    assert found == [1 + bucket(label, buckets), 0]


def test_labels_spread_evenly_over_the_buckets() -> None:
    codes = HashEncoder("x", 64).encode(pl.Series([f"user {one}" for one in range(64_000)]))
    counts = np.bincount(codes, minlength=65)
    assert counts[0] == 0
    assert counts[1:].min() > 1000 - 5 * 1000**0.5
    assert counts[1:].max() < 1000 + 5 * 1000**0.5


def test_a_label_is_the_same_as_word_and_as_number_and_survives_json() -> None:
    encoder = HashEncoder("x", 100)
    assert encoder.encode(pl.Series([1, 2])).tolist() == encoder.encode(pl.Series(["1", "2"])).tolist()
    assert encoder.cardinalities == (101,)
    assert HashEncoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder
    assert encoder.encode(pl.Series([None, None], dtype=pl.String)).tolist() == [0, 0]
    assert encoder.encode(pl.Series([], dtype=pl.String)).tolist() == []
