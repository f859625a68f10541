"""`cotrain tune --auto` on configs of other kinds: several sources, a preset, pictures that are changed at random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import cotrain
from cotrain.cli.main import app

pytest.importorskip("optuna")
pytest.importorskip("pymoo")

ENDING = "compare: {boosting: false, single: false}\ntune: {sampler: random, trials: 2, seeds: 1, single: false}\n"


def tuned(folder: Path, config: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """tune.json of `cotrain tune config.yaml --auto`."""
    monkeypatch.chdir(folder)
    Path("config.yaml").write_text(config + ENDING, encoding="utf-8")
    ran = CliRunner().invoke(app, ["tune", "config.yaml", "--auto", "--folder", "run", *words])
    assert ran.exit_code == 0, ran.output
    document: dict[str, Any] = json.loads(Path("run/tune.json").read_text(encoding="utf-8"))
    assert [one["state"] for one in document["trials"]] == ["complete"] * 2, document["trials"]
    assert document["default"] == 0
    cotrain.load(Path("run"))
    return document


def table(seed: int, rows: int = 120) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, 3))
    return pl.DataFrame(
        {
            **{f"x{place}": x[:, place] for place in range(3)},
            "a": x.sum(axis=1) + draw.normal(size=rows),
            "b": (x.sum(axis=1) + draw.normal(size=rows) > 0).astype(int),
        }
    )


def test_tasks_of_two_sources_and_what_their_network_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(0).drop("b").write_csv(tmp_path / "first.csv")
    table(1, 60).drop("a").write_csv(tmp_path / "second.csv")
    config = (
        "sources: {first: {path: first.csv}, second: {path: second.csv}}\n"
        "data: {cache: null}\n"
        "tasks: {a: {kind: regression, source: first}, b: {kind: binary, source: second}}\n"
        "encoder: {name: mlp, widths: [8]}\n"
        "train: {epochs: 1, batch_size: 64}\n"
    )
    document = tuned(tmp_path, config, monkeypatch)
    first = document["trials"][0]["values"]
    assert first["parameters"] == (3 * 8 + 8) + 2 * (8 + 1)  # one encoder, two heads
    assert first["flops_per_row"] > 0
    assert first["latency_ms"] > 0
    assert set(first) >= {"gain", "a", "b"}


def test_texts_of_two_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    for name, column in (("requests", "intent"), ("reviews", "sentiment")):
        label = draw.integers(0, 2, 100)
        words = [f"{'good' if one else 'bad'} {draw.choice(['film', 'song', 'book'])} today" for one in label]
        told = np.where(draw.random(100) < 0.3, 1 - label, label)
        pl.DataFrame({"text": words, column: told}).write_csv(tmp_path / f"{name}.csv")
    config = (
        "data: {cache: null, kinds: {text: text}}\n"
        "sources: {requests: {path: requests.csv}, reviews: {path: reviews.csv}}\n"
        "inputs: [text]\n"
        "tasks: {intent: {kind: binary, source: requests}, sentiment: {kind: binary, source: reviews}}\n"
        "encoder: {name: text_conv, embedding: 8, filters: 4}\n"
        "train: {epochs: 1, batch_size: 32}\n"
    )
    document = tuned(tmp_path, config, monkeypatch)
    assert set(document["trials"][0]["values"]) >= {"gain", "intent", "sentiment", "latency_ms"}
    opened = dict(document["problem"]["space"])
    assert opened["encoder.filters"]["choice"] == [2, 4, 8]
    assert "encoder.widths" not in opened  # how many words a filter sees


def test_a_preset_is_what_a_search_begins_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(0).write_csv(tmp_path / "table.csv")
    config = (
        "preset: good\ndata: {path: table.csv, cache: null}\ntasks: {a: regression, b: binary}\n"
        "train: {epochs: 1, time_limit: 20}\n"
    )
    document = tuned(tmp_path, config, monkeypatch, "--time", "10m")
    assert document["trials"][0]["parameters"]["encoder.widths"] == "[256, 256]"
    assert cotrain.load(Path("run")).config.encoder.name == "tabm"


def test_pictures_that_are_changed_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    bright = draw.integers(0, 2, 80)
    for place, one in enumerate(bright):
        pixels = draw.integers(0, 100, (8, 8), dtype=np.uint8) + np.uint8(100 * one)
        image.fromarray(pixels).save(tmp_path / "photos" / f"{place}.png")
    photos = [f"photos/{place}.png" for place in range(80)]
    pl.DataFrame({"photo": photos, "bright": bright, "side": draw.integers(0, 2, 80)}).write_csv(tmp_path / "table.csv")
    config = (
        "data: {path: table.csv, cache: null}\ninputs: [photo]\ntasks: {bright: binary, side: binary}\n"
        "encoder: {name: convnet, widths: [4]}\naugment: {photo: {flip: horizontal, crop: 1}}\n"
        "train: {epochs: 1, batch_size: 32}\n"
    )
    document = tuned(tmp_path, config, monkeypatch)
    assert set(document["trials"][0]["values"]) >= {"gain", "bright", "side"}
    assert dict(document["problem"]["space"])["encoder.widths"]["choice"] == ["[2]", "[4]", "[8]"]
