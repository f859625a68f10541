"""Pictures the whole way: trained from a folder, stored, loaded, asked about new pictures; what goes wrong is said."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from polars.testing import assert_frame_equal

import cotrain
from cotrain.core.errors import ConfigError
from cotrain.recipe.compare import compare
from cotrain.recipe.config import config_from_dict, load_config
from cotrain.recipe.folder import read_json
from cotrain.recipe.initial import initial_config
from cotrain.recipe.run import DataWarning

TRAIN = {"epochs": 6, "batch_size": 16, "optimizer": {"lr": 0.02}, "early_stopping": None}
ENCODER = {"name": "convnet", "widths": [8, 8]}


def bars(rows: int, seed: int = 0) -> tuple[Any, list[str], Any]:
    """Pictures with an upright or a lying bar, what it is, and how bright it is."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 60, (rows, 8, 8), dtype=np.uint8)
    bright = random.integers(120, 256, rows)
    labels = []
    for place in range(rows):
        where = random.integers(1, 7)
        if place % 2:
            cells[place, :, where] = bright[place]
        else:
            cells[place, where] = bright[place]
        labels.append("upright" if place % 2 else "lying")
    return cells, labels, bright / 255


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cells, labels, _ = bars(80)
    for place, (one, label) in enumerate(zip(cells, labels, strict=True)):
        (tmp_path / "bars" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(tmp_path / "bars" / label / f"{place:03d}.png")
    return tmp_path / "bars"


def test_a_folder_of_pictures_is_trained_on_stored_and_asked_about_new_ones(folder: Path, tmp_path: Path) -> None:
    run = cotrain.fit(folder, tasks={"label": "binary"}, encoder=ENCODER, train=TRAIN, seed=1)
    assert run.metrics["splits"]["test"]["label"]["accuracy"] > 0.9
    run.save(tmp_path / "run")
    loaded = cotrain.load(tmp_path / "run")
    assert loaded.evaluate("test") == run.evaluate("test")
    new = tmp_path / "new"
    new.mkdir()
    cells, labels, _ = bars(10, seed=5)
    for place, one in enumerate(cells):
        Image.fromarray(one).save(new / f"{place}.png")
    assert loaded.predict(new)["label"].to_list() == labels
    (tmp_path / "table.csv").write_text("path\n" + "\n".join(f"new/{place}.png" for place in range(10)))
    assert_frame_equal(loaded.predict(tmp_path / "table.csv"), loaded.predict(new))
    pieces = pl.concat(loaded.predict_pieces(tmp_path / "table.csv"))
    assert_frame_equal(pieces, loaded.predict(new))
    assert loaded.in_pieces(new) is False


def test_arrays_train_several_tasks_on_one_picture_with_any_sharing() -> None:
    cells, labels, bright = bars(80)
    table = {"photo": cells, "kind": labels, "bright": bright}
    run = cotrain.fit(
        table,
        tasks={"kind": "binary", "bright": "regression"},
        encoder=ENCODER,
        sharing={"name": "mmoe", "experts": 2},
        train=TRAIN,
    )
    assert run.metrics["splits"]["test"]["kind"]["auc"] > 0.9
    structure = run._documents["structure.json"]["specs"]["photo"]
    assert structure["kind"] == "image"
    assert structure["shape"] == [1, 8, 8]
    answers = run.predict({"photo": bars(4, seed=2)[0]})
    assert answers["kind"].to_list() == ["lying", "upright"] * 2


def test_a_broken_new_picture_is_named_and_answered_all_the_same(folder: Path, tmp_path: Path) -> None:
    run = cotrain.fit(folder, tasks={"label": "binary"}, encoder=ENCODER, train={**TRAIN, "epochs": 1})
    (tmp_path / "bad.png").write_text("no picture")
    good = next(folder.glob("*/*.png"))
    for mib in (2048, 0):
        run._encoders["main"] = type(run._encoder)(
            (type(run._encoder.encoders[0])(**{**vars(run._encoder.encoders[0]), "cache_mib": mib}),),
            run._encoder.known,
        )
        with pytest.warns(DataWarning, match="row 2 .*bad.png'.*no kind of picture"):
            answers = run.predict({"path": [str(good), str(tmp_path / "bad.png")]})
        assert answers.height == 2


def test_a_training_prepared_ahead_equals_one_prepared_in_the_loop(folder: Path) -> None:
    weights = []
    for workers, mib in ((0, 2048), (2, 2048), (2, 0)):
        run = cotrain.fit(
            folder,
            tasks={"label": "binary"},
            encoder=ENCODER,
            train={**TRAIN, "epochs": 2, "workers": workers},
            prepare={"image": {"cache_mib": mib}},
        )
        weights.append(dict(run.model.named_parameters()))
    for other in weights[1:]:
        assert all(torch.equal(other[name], one) for name, one in weights[0].items())


def test_a_comparison_leaves_boosted_trees_out_and_says_why(tmp_path: Path) -> None:
    cells, labels, bright = bars(60)
    config = config_from_dict(
        {
            "tasks": {"kind": "binary", "bright": "regression"},
            "encoder": ENCODER,
            "train": {**TRAIN, "epochs": 1},
            "compare": {"seeds": [0]},
            "data": {"cache": None},
        },
        table={"photo": cells, "kind": labels, "bright": bright},
    )
    said: list[str] = []
    document = read_json(compare(config, folder=tmp_path / "out", progress=said.append) / "compare.json")
    assert {one["name"] for one in document["variants"]} == {"single-task", "joint (hard)", "constant"}
    assert any("input 'photo' is of kind 'image'" in one for one in said)


def test_table_columns_beside_a_picture_are_refused_with_what_to_do() -> None:
    cells, labels, bright = bars(40)
    table = {"photo": cells, "kind": labels, "extra": bright}
    with pytest.raises(ConfigError, match="encoders of pictures are convnet"):
        cotrain.fit(table, tasks={"kind": "binary"}, encoder="mlp", train={"epochs": 1})
    with pytest.raises(
        ConfigError,
        match=r"encoder 'convnet' reads one picture and nothing else, but the inputs hold 'numbers' \(number\)",
    ):
        cotrain.fit(table, tasks={"kind": "binary"}, encoder="convnet", train={"epochs": 1})
    run = cotrain.fit(table, tasks={"kind": "binary"}, inputs=["photo"], encoder=ENCODER, train={"epochs": 1})
    assert run.predict({"photo": cells[:2]}).height == 2


def test_streaming_pictures_is_refused_with_the_reason(folder: Path, tmp_path: Path) -> None:
    paths = sorted(folder.glob("*/*.png"))
    pl.DataFrame({"photo": [str(one) for one in paths], "y": [one.parent.name for one in paths]}).write_csv(
        tmp_path / "t.csv"
    )
    with pytest.raises(
        ConfigError, match="column 'photo' holds pictures, and a table with pictures is not read piece by piece"
    ):
        cotrain.fit(tmp_path / "t.csv", tasks={"y": "binary"}, encoder=ENCODER, prepare={"stream": True})


def test_init_proposes_an_encoder_of_pictures_for_a_folder(folder: Path, tmp_path: Path) -> None:
    text = initial_config(folder, ["label"], beside=tmp_path)
    assert "path: bars" in text
    assert "encoder: {name: convnet" in text
    (tmp_path / "bars.yaml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = load_config(tmp_path / "bars.yaml")
    assert config.encoder.name == "convnet"
