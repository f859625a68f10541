"""The demo's table and config are written once, and lead to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cotrain.cli.demo import free
from cotrain.cli.main import app
from cotrain.core.errors import ConfigError, RunError
from cotrain.recipe import demos
from cotrain.recipe.config import load_config
from cotrain.recipe.demos import cancer, digits, write_demo


def test_the_table_holds_what_is_predicted_and_nothing_that_gives_it_away() -> None:
    frame = cancer()
    assert frame.height == 569
    assert frame.columns[:3] == ["diagnosis", "worst radius", "worst concavity"]
    assert frame["diagnosis"].value_counts(sort=True)["count"].to_list() == [357, 212]
    assert all(name.startswith("mean ") or name.endswith(" error") for name in frame.columns[3:])
    assert frame.width == 23


def test_the_config_reads_the_inputs_only(tmp_path: Path) -> None:
    config = load_config(write_demo("cancer", tmp_path))
    assert {name: target.kind for name, target in config.tasks.items()} == {
        "diagnosis": "binary",
        "worst radius": "regression",
        "worst concavity": "regression",
    }
    assert config.compare.seeds == (0, 1, 2, 3, 4)


def test_a_demo_is_written_twice_but_never_over_another_file(tmp_path: Path) -> None:
    path = write_demo("cancer", tmp_path)
    assert write_demo("cancer", tmp_path) == path
    path.write_text("mine")
    with pytest.raises(RunError, match="another file of that name"):
        write_demo("cancer", tmp_path)
    assert path.read_text() == "mine"


def test_digits_lie_where_their_boxes_say_and_are_written_once(tmp_path: Path) -> None:
    made = digits()
    corners = np.stack([made[name] for name in ("x0", "y0", "x1", "y1")], 1)
    assert made["picture"].shape == (1797, 24, 24)
    assert corners.min() >= 0
    assert corners.max() <= 24
    inside = np.mean([made["picture"][row, y0:y1, x0:x1].mean() for row, (x0, y0, x1, y1) in enumerate(corners)])
    assert inside > 3 * 0.08 * 255  # noise has a mean of .08
    path = write_demo("digits", tmp_path)
    assert write_demo("digits", tmp_path) == path
    (tmp_path / "digits.npz").write_bytes(b"mine")
    with pytest.raises(RunError, match="another file of that name"):
        write_demo("digits", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        write_demo("digit", tmp_path)


@pytest.mark.slow
def test_the_demo_of_pictures_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = demos.DIGITS.replace("epochs: 15", "epochs: 1").replace("seeds: 5", "seeds: 1")

    def few() -> dict[str, Any]:
        return {name: one[:300] for name, one in digits().items()}

    monkeypatch.setitem(demos.DEMOS, "digits", (few, short))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo", "digits"])
    assert result.exit_code == 0, result.output
    text = Path(result.stdout.splitlines()[-1]).read_text(encoding="utf-8")
    assert "mean IoU" in text
    assert text.count('<svg class="shown"') == 12


def test_a_folder_in_use_gets_a_number(tmp_path: Path) -> None:
    assert free(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").mkdir()
    assert free(tmp_path / "run") == tmp_path / "run-3"


def test_the_demo_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = demos.CANCER.replace("epochs: 100", "epochs: 2").replace("seeds: 5", "seeds: 1")
    monkeypatch.setitem(demos.DEMOS, "cancer", (cancer, short))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 0, result.output
    page = Path(result.stdout.splitlines()[-1])
    assert page == Path("cotrain-demo/runs/cancer/report.html")
    assert "worst concavity" in page.read_text(encoding="utf-8")
    assert "too few seeds" in " ".join(result.stdout.split()).lower()
