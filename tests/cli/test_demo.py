"""The demo's table and config are written once, and lead to a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotrain.cli.demo import free
from cotrain.cli.main import app
from cotrain.core.errors import RunError
from cotrain.recipe import demos
from cotrain.recipe.config import load_config
from cotrain.recipe.demos import cancer, write_demo


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
