"""The tutorial's config and command lines, run on a miniature in the place of CIFAR-10; its Python blocks are run with all others."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from test_docs import ROOT, blocks

from cotrain.recipe.config import load_config

PAGE = ROOT / "docs" / "tutorial-cifar10.md"


def configs() -> list[str]:
    return [text for _, _, text in blocks(PAGE, "yaml") if text.startswith("# cifar10.yaml")]


def test_the_tutorials_config_is_that_of_the_examples(tmp_path: Path) -> None:
    (config,) = configs()
    (tmp_path / "cifar10.yaml").write_text(config)
    shown = load_config(tmp_path / "cifar10.yaml", files=False).as_dict()
    example = load_config(ROOT / "examples" / "cifar10.yaml", files=False).as_dict()
    for one in (shown, example):
        one["data"].pop("path")
        one["data"].pop("cache")
    assert shown == example


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with cifar10.parquet, a miniature of two classes, and the tutorial's config, cut to two epochs."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 80, (60, 32, 32, 3), dtype=np.uint8)
    pictures[1::2, :, :, 2] += 150
    frame = pl.DataFrame(
        {
            "picture": pl.Series(pictures),
            "label": ["bird", "ship"] * 30,
            "kind": ["animal", "vehicle"] * 30,
            "split": ["train"] * 40 + ["valid"] * 10 + ["test"] * 10,
        }
    )
    frame.write_parquet(tmp_path / "cifar10.parquet")
    Image.fromarray(pictures[0]).save(tmp_path / "one.png")
    (tmp_path / "new.csv").write_text("picture\none.png\n")
    (tmp_path / "cifar10.yaml").write_text(re.sub(r"epochs: \d+", "epochs: 2", configs()[0]))
    return tmp_path


@pytest.mark.slow
def test_the_tutorials_command_lines_run(place: Path) -> None:
    lines = [line for _, _, text in blocks(PAGE, "bash") for line in text.splitlines() if line.startswith("cotrain ")]
    assert len(lines) == 4
    for line in lines:
        start = "from cotrain.cli.main import main; main()"
        words = shlex.split(line)[1:]
        answer = subprocess.run(
            [sys.executable, "-c", start, *words], cwd=place, capture_output=True, text=True, timeout=500
        )
        assert answer.returncode == 0, f"{line}\n{answer.stdout}\n{answer.stderr}"
    assert pl.read_csv(place / "answers.csv")["label"].to_list()[0] in ("bird", "ship")


@pytest.mark.slow
def test_the_benchmark_goes_on_where_it_stopped_and_prints_its_table(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("picture_tasks", ROOT / "benchmarks" / "picture_tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = [
        "picture_tasks",
        "cifar10",
        "--config",
        str(place / "cifar10.yaml"),
        "--folder",
        str(place / "out"),
        "--epochs",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", [*given, "--seeds", "1"])
    module.main()
    first = capsys.readouterr().out
    assert "seed 0: single-task" in first
    monkeypatch.setattr(sys, "argv", [*given, "--seeds", "2"])
    module.main()
    second = capsys.readouterr().out
    assert "seed 0" not in second
    assert "seed 1: joint (hard)" in second
    joint, gain = [line for line in second.splitlines() if line.startswith("| joint (hard)")]
    assert "%" in gain
    assert "±" in joint
    assert "39.6 MFLOPs a picture" in second
