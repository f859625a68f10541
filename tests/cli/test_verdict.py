"""The outcome of a comparison is readable at 80 columns, with few tasks and with many."""

from __future__ import annotations

import pytest

from cotrain.cli.tables import print_table
from cotrain.cli.verdict import print_verdict


def compared(tasks: int) -> dict[str, object]:
    names = [f"target {index}" for index in range(tasks)]
    scores = {name: [0.5, None, 0.7] for name in names}
    return {
        "tasks": {name: {"primary": "rmse", "higher_is_better": False} for name in names},
        "variants": [
            {"name": "single-task", "scores": scores, "cost": {"seconds": 12.345}},
            {"name": "joint (mmoe, nash_mtl)", "scores": scores, "cost": {"seconds": 4.5}},
            {"name": "constant", "scores": {}, "cost": None},
        ],
        "gains": [
            {"variant": "joint (mmoe, nash_mtl)", "task": name, "gain": 0.125, "low": -0.05, "high": 0.3}
            for name in names
        ],
        "verdict": "Too few seeds.",
    }


@pytest.mark.parametrize("tasks", [1, 3, 4, 5, 16])
def test_scores_gains_and_verdict_fit_eighty_columns(
    tasks: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_verdict(compared(tasks))
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("0.6" in line for line in lines) >= min(tasks, 2)
    assert "12.35" in said.out
    assert said.out.count("+12.5 %") == tasks
    assert "-5.0 % to +30.0 %" in said.out
    assert lines[-1] == "Too few seeds."


def test_without_single_task_networks_there_are_no_gains(capsys: pytest.CaptureFixture[str]) -> None:
    print_verdict({**compared(2), "gains": []})
    assert "gain" not in capsys.readouterr().out


def test_a_long_first_cell_leaves_room_for_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", ["column", "why"], [["x" * 300, "two different values"], ["short", "293 different numbers"]])
    said = capsys.readouterr().out
    assert "two different values" in said
    assert "293 different numbers" in said
    assert said.count("x") == 300
    print_table("t", ["column", "why"], [["犬" * 30, "two different values"]])  # each is two columns wide
    assert capsys.readouterr().out.count("犬") == 30
    print_table("t", ["column", "why"], [["a name of some words", "two different values"]])
    assert "a name of some words   two different values" in capsys.readouterr().out
