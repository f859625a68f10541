"""The example configs read well, and with the real data at hand their tables are made and checked."""

from __future__ import annotations

import gzip
import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from cotrain.recipe.check import check
from cotrain.recipe.config import Config, load_config
from cotrain.recipe.searches import searches
from cotrain.recipe.tune import tuning
from cotrain.recipe.yaml_source import read_yaml
from cotrain.search.fits import refuse_unfit
from cotrain.search.gallery import SAMPLERS

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "examples").glob("*.yaml"))


def read(path: Path) -> Config:
    """An example's config; of one with open values, that of the values its search begins with."""
    source = read_yaml(path)
    return tuning(source, path.parent, files=False).config if searches(source.tree) else load_config(path, files=False)


MAKERS = ("tables", "texts")
"""Scripts under examples/ that make the configs' tables."""


def maker(name: str) -> ModuleType:
    """A script under examples/ as a module, which finds its neighbours as it does when it is run."""
    sys.path.insert(0, str(ROOT / "examples"))
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "examples"))
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return maker("tables")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_example_config_has_no_problem_of_its_own(path: Path) -> None:
    assert len(read(path).tasks) >= 2


def test_what_is_searched_on_census_begins_with_the_defaults_and_any_sampler_of_the_table_can_search_it() -> None:
    path = ROOT / "examples" / "tune_census.yaml"
    found = tuning(read_yaml(path), path.parent, files=False)
    assert found.open.default is not None
    assert found.config.sharing.name == "hard"
    assert (found.settings.trials, found.settings.time, len(found.settings.seeds)) == (40, 1200.0, 5)
    for name in ("random", "tpe", "genetic", "particle_swarm"):
        refuse_unfit(SAMPLERS[name](), found.problem)


def test_hospital_codes_are_put_back_to_the_original_ones(tables: ModuleType, real_data: Callable[[str], Path]) -> None:
    folder = real_data("heart_disease/heart.csv").parent.parent
    frame = tables.heart(folder)
    first = frame.row(0, named=True)
    # the first patient of the original file: 63,1,1,145,233,1,2,150,0,2.3,3,0,6, healthy
    expected = {
        "age": 63,
        "sex": 1,
        "cp": 1,
        "restecg": 2,
        "slope": 3.0,
        "ca": 0.0,
        "thal": 6.0,
        "disease": "no",
        "grade": None,
    }
    assert {name: first[name] for name in expected} == expected
    sick = frame.group_by("site").agg(share=(pl.col("disease") == "yes").mean())
    assert dict(sick.iter_rows())["cleveland"] == pytest.approx(138 / 303)
    harder = frame.filter(site="cleveland").group_by("disease").agg(pl.col("thalach").mean())
    rates = dict(harder.iter_rows())
    assert rates["yes"] < rates["no"]  # sick hearts reach a lower rate


def test_every_table_can_be_made(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    folder = real_data("census_income_kdd/census-income.test.gz").parent.parent
    written = [path for name in MAKERS for path in maker(name).make(folder, tmp_path / "data")]
    made = {path.stem for path in written}
    for path in (path for path in CONFIGS if path.stem not in ("mnist_boxes", "multimnist")):  # pictures, made below
        shutil.copy(path, tmp_path)
        config = read(tmp_path / path.name)
        tables = {name: str(one.data.path) for name, one in config.sources.items()} or {None: str(config.data.path)}
        assert {Path(table).stem for table in tables.values()} <= made
        frames = {source: pl.read_parquet(table) for source, table in tables.items()}
        for task in config.tasks.values():
            for name in task.columns:
                assert frames[task.source][name].drop_nulls().n_unique() >= 2, name


def test_reviews_fall_into_folds_by_their_texts(real_data: Callable[[str], Path]) -> None:
    frame = maker("texts").druglib(real_data("druglib/drugLibTrain_raw.tsv.gz").parent.parent)
    assert frame.height == 4143
    assert set(frame["fold"]) == set(range(10))
    assert frame.group_by("benefits", "side_effects_told", "comments").agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert frame.row(0, named=True)["effectiveness"] == "Highly Effective"
    assert not frame["benefits"].str.contains(r'^[\s"]|[\s"]$|\s\s').any()


def test_sentences_of_three_domains_fall_into_folds(real_data: Callable[[str], Path]) -> None:
    frame = maker("texts").sentiment(real_data("sentiment_sentences/imdb_labelled.txt").parent.parent)
    assert dict(frame.group_by("domain", "sentiment").len().group_by("domain").agg(pl.col("len").sum()).iter_rows()) == {"films": 1000, "phones": 1000, "restaurants": 1000}  # fmt: skip
    assert frame["sentiment"].value_counts()["count"].to_list() == [1500, 1500]
    assert frame.row(0, named=True)["text"].startswith("A very, very, very slow-moving, aimless movie")
    assert frame.group_by("text").agg(pl.col("fold").n_unique())["fold"].max() == 1


def test_requests_are_put_together_from_their_parts(real_data: Callable[[str], Path]) -> None:
    frame = maker("texts").snips(real_data("snips_nlu/train.jsonl").parent.parent)
    first = frame.row(0, named=True)
    assert first["text"] == "Add another song to the Cita Romántica playlist."
    assert first["slots"] == ["music_item", "playlist"]
    assert dict(frame["split"].value_counts().iter_rows()) == {"train": 12406, "valid": 1378, "test": 700}
    assert frame["slots"].explode().n_unique() == 39


def test_pictures_of_digits_are_made_and_their_configs_are_checked(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    module = maker("mnist")
    folder = real_data("mnist/train-images-idx3-ubyte.gz").parent.parent
    module.make(folder, tmp_path / "data", rows=240)
    for name, counts in (("mnist_boxes", (220, 20, 48)), ("multimnist", (240, 240, 240))):
        shutil.copy(ROOT / "examples" / f"{name}.yaml", tmp_path)
        found = check(load_config(tmp_path / f"{name}.yaml"))
        assert found.problems == ()
        rows = dict(zip(("train", "valid", "test"), counts, strict=True))
        assert found.plan["rows"] == {"read": sum(counts), **rows, "split": "column by split"}
    labels = module.read_idx(folder / "mnist" / "train-labels-idx1-ubyte.gz")
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    wrong = tmp_path / "wrong.gz"
    wrong.write_bytes(gzip.compress(b"\0\1\2\3more"))
    with pytest.raises(ValueError, match="is no idx file"):
        module.read_idx(wrong)


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_source_is_said_and_left_out(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = maker(name)
    assert module.make(tmp_path, tmp_path / "data") == []
    assert capsys.readouterr().out.count("left out") == len(module.TABLES)
