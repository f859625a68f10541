"""Settings hold what a config may say, and move their paths to the config's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotrain.core.errors import ConfigError
from cotrain.data.column_settings import ColumnSettings, ScalingSettings
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
        DataSettings(rare=0)
    with pytest.raises(ConfigError, match=r"per_column\.rare: a count of at least 1"):
        ColumnSettings(rare=0)
