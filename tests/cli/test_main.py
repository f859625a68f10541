"""The command line answers at once, explains itself, and keeps its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotrain.cli.main import app

COMMANDS = ("init", "check", "train", "evaluate", "predict", "compare", "report", "methods", "schema", "demo")

run = CliRunner().invoke


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['cotrain', '--help']\n"
        "from cotrain.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'polars', 'pydantic', 'numpy', 'rich', 'sklearn', 'ruamel', 'lightning_fabric', 'jinja2', 'plotly'}\n"
        "found = heavy & {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_lists_every_command_whole() -> None:
    result = run(app, ["--help"])
    assert result.exit_code == 0
    assert all(f"\n  {command} " in result.output for command in COMMANDS)
    assert "..." not in result.output.replace("[ARGS]...", "")
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str) -> None:
    result = run(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: cotrain {command}" in result.output


def test_no_command_is_a_question_for_help() -> None:
    assert run(app, []).exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["trian"], ["train"], ["train", "a.yaml", "--resum"], ["compare", "a.yaml", "--seeds", "none"]]
)
def test_slips_on_the_command_line_are_the_users(arguments: list[str]) -> None:
    result = run(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_misspelt_command_gets_the_nearest() -> None:
    assert "'train'" in run(app, ["trian"]).output


def test_schema_is_json() -> None:
    result = run(app, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.output)["required"] == ["tasks"]


def test_methods_says_what_there_is() -> None:
    result = run(app, ["methods", "sharing"])
    assert result.exit_code == 0
    assert "mmoe" in result.output
    assert "nash_mtl" not in result.output
    rooms = json.loads(run(app, ["methods", "--json"]).output)
    entry = next(each for each in rooms["balance"] if each["name"] == "nash_mtl")
    assert entry["family"] == "gradient"
    assert "Navon" in entry["source"]
    assert rooms["encoders"][0]["settings"]["dropout"] == {"expects": "a number", "default": 0.1}


def test_methods_fit_eighty_columns() -> None:
    assert max(map(len, run(app, ["methods"]).output.splitlines())) <= 80


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cotrain.recipe.schema.config_schema", stop)
    assert run(app, ["schema"]).exit_code == 130


def test_init_writes_a_config_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cotrain.recipe.config import load_config

    (tmp_path / "trees.csv").write_text(
        "height,kind\n" + "".join(f"{i / 7:.3f},{'oak' if i % 3 else 'elm'}\n" for i in range(60))
    )
    monkeypatch.chdir(tmp_path)
    result = run(app, ["init", "trees.csv", "--target", "height", "--target", "kind"])
    assert result.exit_code == 0, result.output
    config = load_config(tmp_path / "trees.yaml")
    assert {name: target.kind for name, target in config.tasks.items()} == {"height": "regression", "kind": "binary"}
    again = run(app, ["init", "trees.csv", "--target", "height"])
    assert again.exit_code == 2
    assert "does not exist yet" in " ".join(again.output.split())
    wrong = run(app, ["init", "trees.csv", "-t", "hieght", "-o", "other.yaml"])
    assert wrong.exit_code == 2
    assert "did you mean 'height'?" in " ".join(wrong.output.split())


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "cotrain", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "cotrain")
