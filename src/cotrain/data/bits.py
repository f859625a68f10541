"""Numbers drawn by hashing: the same for a row, or for a word, whatever order or piece of a table it is met in.

Source: the finaliser is that of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 13).
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cotrain.core.randomness import derive
from cotrain.data.typed import as_words

Hashes = NDArray[np.uint64]


def of_numbers(numbers: NDArray[np.int64] | Hashes, seed: int, *purpose: str | int) -> Hashes:
    """[N] 64 mixed bits for every number (of a row, say), one stream for each seed and purpose.

    >>> a, b = of_numbers(np.arange(4), 0, "split"), of_numbers(np.arange(2, 4), 0, "split")
    >>> bool((a[2:] == b).all()), len(set(a.tolist()))
    (True, 4)
    """
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(derive(seed, *purpose))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def of_words(series: pl.Series, seed: int, *purpose: str | int) -> Hashes:
    """[N] 64 mixed bits for every cell as a word; equal words have equal bits, and missing cells are one word."""
    words = as_words(series).fill_null("\0missing").alias("word")
    unique = words.unique()
    bits = [int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") for word in unique.to_list()]
    codes = words.replace_strict(unique, pl.Series(bits, dtype=pl.UInt64), return_dtype=pl.UInt64)
    return of_numbers(codes.to_numpy(), seed, *purpose)


def chances(bits: Hashes) -> NDArray[np.float64]:
    """[N] in [0, 1), uniform."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
