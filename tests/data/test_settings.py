"""Settings hold what a config may say, and move their paths to the config's folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cotrain.core.errors import ConfigError
from cotrain.data.column_settings import ScalingSettings
from cotrain.data.feature_settings import CategorySettings, DateSettings, TextSettings
from cotrain.data.settings import MISSING, DataSettings, ReadSettings, SplitSettings


def test_words_for_missing_are_the_usual_ones_with_what_is_added_and_kept() -> None:
    words = ReadSettings(missing=("-", "?"), keep=("NA",)).words
    assert set(words) == (set(MISSING) | {"-"}) - {"NA"}
    assert len(words) == len(set(words))


def test_relative_paths_move_and_absolute_ones_stay() -> None:
    settings = DataSettings(
        path=("a.csv", "/b.csv"), columns="names.txt", split=SplitSettings("files", valid="v.csv", test="/t.csv")
    )
    moved = settings.beside(Path("/home"))
    assert moved.path == ("/home/a.csv", "/b.csv")
    assert (moved.columns, moved.cache) == ("/home/names.txt", "/home/.cotrain-cache")
    assert (moved.split.valid, moved.split.test) == ("/home/v.csv", "/t.csv")
    words = DataSettings(
        split=SplitSettings("column", by="site", train="a", valid="b"), columns=("x",), cache=None
    ).beside(Path("/home"))
    assert (words.split.train, words.split.valid, words.columns, words.cache) == ("a", "b", ("x",), None)


def test_the_reading_part_is_what_the_reader_gets() -> None:
    assert DataSettings(header=False, separator=";", missing=("-",)).reading == ReadSettings(
        header=False, separator=";", missing=("-",)
    )


def test_wrong_settings_are_refused_with_the_nearest_word() -> None:
    with pytest.raises(ConfigError, match="did you mean 'robust'"):
        ScalingSettings("robst")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        CategorySettings(rare=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CategorySettings(encoding="hsah"), "encoding: unknown encoding 'hsah'; did you mean 'hash'"),  # type: ignore[arg-type]
        (lambda: CategorySettings(most=0), "most: a count of at least 1 is expected, got 0"),
        (lambda: CategorySettings(buckets=1), "buckets: a count of at least 2"),
        (lambda: CategorySettings(folds=1), "folds: a count of at least 2"),
        (
            lambda: CategorySettings(smoothing=-1.0),
            "smoothing: a finite number of rows of at least 0 is expected, got -1",
        ),
        (lambda: CategorySettings(smoothing=float("nan")), "smoothing: a finite number"),
        (lambda: TextSettings(features=0), "features: a count of at least 1"),
        (lambda: TextSettings(min_count=0), "min_count: a count of at least 1"),
        (lambda: TextSettings(ngrams=(2, 1)), "ngrams: the fewest and the most words"),
        (lambda: TextSettings(analyzer="chars"), "did you mean 'char'"),  # type: ignore[arg-type]
        (lambda: DateSettings(parts=("weekdays",)), "did you mean 'weekday'"),  # type: ignore[arg-type]
        (lambda: DateSettings(parts=()), "at least one part"),
        (lambda: DateSettings(zone="Europe/Berln"), "did you mean 'Europe/Berlin'"),
    ],
)
def test_wrong_settings_of_features_are_refused(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        make()
