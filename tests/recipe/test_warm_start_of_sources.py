"""A run of several sources that begins with another one, of as many sources, of more or of fewer."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import cotrain
from cotrain.core.errors import RunError
from cotrain.recipe.check import check
from cotrain.recipe.config import Config, config_from_dict
from cotrain.recipe.run import Run, train

QUICK = {"epochs": 2, "batch_size": 32, "early_stopping": None, "optimizer": {"lr": 0.02}}


def rows(seed: int, target: str, count: int = 90) -> pl.DataFrame:
    """Two numbers and a category, on a scale that depends on the seed, and one target."""
    draw = np.random.default_rng(seed)
    x, y = (seed + 1) * draw.normal(size=(2, count)) + seed
    town = draw.choice(["Rome", "Oslo", "Lima"], count)
    return pl.DataFrame({"x": x, "y": y, "town": town, target: x - y + (town == "Oslo"), "more": x * y})


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for seed, target in enumerate("abcd"):
        rows(seed, target).write_csv(folder / f"{target}.csv")
    return folder


def config(tables: Path, sources: str, *, own: str = "", cache: bool = False, **more: Any) -> Config:
    """A task of every source; own: those with inputs of their own. "main a": a plain table, with a task more where a + follows."""
    about: dict[str, Any] = {"data": {"cache": str(tables / "cache") if cache else None}}
    if sources.startswith("main "):
        target, *extra = sources.removeprefix("main ")
        tasks = [target, "more"] if extra else [target]
        path = str(tables / f"{target}.csv")
        about = {"data": {**about["data"], "path": path}, "tasks": dict.fromkeys(tasks, "regression")}
    else:
        given: dict[str, Any] = {
            f"of_{one}": {"path": str(tables / f"{one}.csv"), **({"inputs": ["x", "y"]} if one in own else {})}
            for one in sources
        }
        about |= {"sources": given, "tasks": {one: {"kind": "regression", "source": f"of_{one}"} for one in sources}}
    network = {"inputs": ["x", "y", "town"], "encoder": {"name": "mlp", "widths": [12, 6]}, "seed": 0, "name": "run"}
    return config_from_dict({**network, **about, "train": {**QUICK, **more.pop("train", {})}, **more})


def answers(run: Run, task: str) -> pl.Series:
    """What a run predicts for new rows of a task's own source."""
    source = f"of_{task}" if len(run.config.sources) > 1 else None
    return run.predict(rows("abcd".index(task), task, 20).drop(task), source=source)[task]


@pytest.mark.parametrize("sharing", ["hard", "mmoe", "none"])
@pytest.mark.parametrize(
    ("before", "own_before", "now", "own_now"),
    [
        ("ab", "", "cba", ""),  # one more, and another one first
        ("abc", "c", "dbac", "c"),  # encoders of their own beside
        ("main a", "", "ab", ""),  # a table, then two sources
        ("ab", "", "main a+", ""),  # two sources, then one of them alone
    ],
)
def test_what_was_learnt_of_a_task_stays_bit_for_bit(
    tables: Path, tmp_path: Path, sharing: str, before: str, own_before: str, now: str, own_now: str
) -> None:
    old = train(config(tables, before, own=own_before, sharing=sharing), folder=tmp_path / "old")
    kept = [task for task in old.model.tasks if task in config(tables, now, own=own_now).tasks]
    freeze = ["trunk", *(f"heads.{task}" for task in kept)]
    about = {"warm_start": str(tmp_path / "old"), "freeze": freeze}
    new = train(config(tables, now, own=own_now, sharing=sharing, train=about), folder=tmp_path / "new")
    for task in kept:
        assert answers(new, task).equals(answers(old, task)), task
    shutil.rmtree(tmp_path / "old")
    again = cotrain.load(tmp_path / "new")
    assert again.evaluate("test") == new.evaluate("test")
    for task in kept:
        assert answers(again, task).equals(answers(new, task)), task


def test_where_encoders_meet_in_another_width_what_agrees_is_taken_and_the_rest_is_named(
    tables: Path, tmp_path: Path
) -> None:
    old = train(config(tables, "main a"), folder=tmp_path / "old")
    new = train(config(tables, "bca", own="a", train={"warm_start": str(tmp_path / "old")}), folder=tmp_path / "new")
    assert new._encoders["of_a"].encoders == tuple(one for one in old._encoder.encoders if one.columns[0] in ("x", "y"))
    assert new._encoders["of_b"].encoders != old._encoder.encoders  # the table was not theirs
    (said,) = [note for note in new.metrics["notes"] if note.startswith("warm start")]
    assert "new here: encoder (" in said  # the W x + b in which encoders meet, and the one of b and c


def test_what_is_kept_is_found_in_the_cache_again(tables: Path, tmp_path: Path) -> None:
    train(config(tables, "ab", cache=True), folder=tmp_path / "old")
    about = {"warm_start": str(tmp_path / "old")}
    first, second = (
        train(config(tables, "cab", cache=True, train=about), folder=tmp_path / name) for name in ("first", "second")
    )
    assert first.evaluate("valid") == second.evaluate("valid")
    own = cotrain.load(tmp_path / "old")
    assert first._encoders["of_c"].encoders == own._encoders["of_a"].encoders
    assert any(
        "source 'of_c': warm start: columns are encoded as in" in one for one in first._documents["data.json"]["notes"]
    )


def test_a_column_that_a_new_source_brings_stands_beside(tables: Path, tmp_path: Path) -> None:
    old = train(config(tables, "ab"), folder=tmp_path / "old")
    rows(2, "c").with_columns(z=pl.col("x") * 2).write_csv(tmp_path / "c.csv")
    given = config(tables, "abc", train={"warm_start": str(tmp_path / "old")})
    tree = given.as_dict()
    tree["inputs"] = ["x", "y", "town", "z"]
    tree["sources"]["of_c"]["path"] = str(tmp_path / "c.csv")
    new = train(config_from_dict(tree), folder=tmp_path / "new")
    whole = new._encoders["of_c"].encoders
    assert list(whole[:-1]) == list(old._encoders["of_a"].encoders)
    assert whole[-1].columns == ("z",)
    assert "begin anew" in "\n".join(new.metrics["notes"])  # the layer that reads them is wider


def test_other_columns_are_refused_and_a_check_says_what_is_taken(tables: Path, tmp_path: Path) -> None:
    train(config(tables, "ab", own="b"), folder=tmp_path / "old")
    about = {"warm_start": str(tmp_path / "old")}
    plan = check(config(tables, "ab", own="b", train=about)).plan
    assert "tensors taken" in plan["training"]["begins with"]
    tree = config(tables, "ab", own="b", train=about).as_dict()
    rows(1, "b").rename({"y": "w"}).write_csv(tmp_path / "b.csv")
    tree["sources"]["of_b"] |= {"path": str(tmp_path / "b.csv"), "inputs": ["x", "w"]}
    with pytest.raises(RunError, match="of its numbers y is not what stands here now"):
        train(config_from_dict(tree), folder=tmp_path / "new")


def test_the_same_rows_of_one_of_the_sources_are_known_as_such(tables: Path, tmp_path: Path) -> None:
    train(config(tables, "ab"), folder=tmp_path / "old")
    about = {"warm_start": str(tmp_path / "old")}
    said = {
        seed: "\n".join(
            train(config(tables, "main a", seed=seed, train=about), folder=tmp_path / f"{seed}")._documents[
                "data.json"
            ]["notes"]
        )
        for seed in (0, 1)
    }
    assert "were split otherwise" not in said[0]
    assert "were split otherwise" in said[1]
