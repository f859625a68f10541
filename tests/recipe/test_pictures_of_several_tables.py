"""Tables in several folders, each with pictures beside it under the same names: every row has its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import cotrain
from cotrain.data.preparation import Preparation
from cotrain.data.prepare import prepare
from cotrain.data.read import read_table
from cotrain.data.settings import DataSettings, SplitSettings
from cotrain.tasks import Regression

SHADES = {"test": 40, "train": 200, "valid": 120}
EACH = 6


@pytest.fixture(params=["plain", "linked"])
def albums(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder a split; linked: the folders lie in different places, so that `train/../test` is not `test`."""
    for name, shade in SHADES.items():
        if request.param == "linked":
            (tmp_path / "far" / name / name).mkdir(parents=True)
            (tmp_path / name).symlink_to(tmp_path / "far" / name / name, target_is_directory=True)
        (tmp_path / name / "photos").mkdir(parents=True)
        for place in range(EACH):
            grey = np.full((8, 8), shade + 3 * place, dtype=np.uint8)
            Image.fromarray(grey).save(tmp_path / name / "photos" / f"{place}.png")
        frame = pl.DataFrame(
            {"photo": [f"photos/{place}.png" for place in range(EACH)], "score": np.arange(EACH) + 0.0}
        )
        frame.write_csv(tmp_path / name / "album.csv")
        cells: list[dict[str, object]] = [{"bytes": None, "path": one} for one in frame["photo"]]
        cells[0] = {
            "bytes": (tmp_path / name / "photos" / "0.png").read_bytes(),
            "path": "photos/1.png",
        }  # a name, no more
        frame.with_columns(pl.Series("photo", cells)).write_parquet(tmp_path / name / "album.parquet")
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("way", ["parts", "glob"])
def test_a_picture_is_looked_for_beside_the_file_whose_row_names_it(
    albums: Path, tmp_path: Path, way: str, ending: str
) -> None:
    album = f"album.{ending}"
    files = {name: str(albums / name / album) for name in ("valid", "test")}
    split, path, order = {
        "parts": (SplitSettings("files", **files), albums / "train" / album, ["train", "valid", "test"]),
        "glob": (SplitSettings(), str(albums / "*" / album), ["test", "train", "valid"]),
    }[way]
    settings = DataSettings(split=split)
    targets = {"score": Regression("score").codec}
    for _ in range(2):  # the second time from the cache
        ready = prepare(read_table(path), Preparation(targets=targets, settings=settings, cache=tmp_path / "cache"))
        field = ready.data.inputs["photo"]  # type: ignore[attr-defined]
        first = field.select(torch.arange(3 * EACH)).values[:, 0, 0, 0]
        assert first.tolist() == [SHADES[name] + 3 * place for name in order for place in range(EACH)]


def test_answers_for_several_tables_are_those_for_each(albums: Path) -> None:
    run = cotrain.fit(
        str(albums / "*" / "album.csv"),
        tasks={"score": "regression"},
        encoder={"name": "convnet", "widths": [4]},
        train={"epochs": 2, "early_stopping": None},
        seed=0,
    )
    each = [run.predict(str(albums / name / "album.csv")) for name in sorted(SHADES)]
    together = run.predict(str(albums / "*" / "album.csv"))
    np.testing.assert_allclose(together["score"], pl.concat(each)["score"], rtol=1e-5)
    assert together["score"].n_unique() > EACH  # rows of one name differ by their folder
