"""Reading a run folder: tolerant of what is absent or odd, and never silent about what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotrain.core.errors import RunError
from cotrain.report.page import render, write_report
from cotrain.report.reading import FILES, read_run


def test_a_whole_folder_is_read_without_a_note(made_up: Callable[..., Any]) -> None:
    run = read_run(made_up().all().folder)
    assert run.notes == ()
    assert run.tasks == ("income", "married", "age")
    assert len(run.epochs) == 18
    assert run.metrics.best_epoch == 13
    assert run.comparison.seeds == ("0", "1", "2", "3", "4")
    assert run.comparison.delta_m["joint (mmoe)"].value == pytest.approx(0.012)
    assert run.data.splits == {"train": 59857, "valid": 9976, "test": 29929}


@pytest.mark.parametrize("absent", FILES)
def test_any_one_file_may_be_absent(made_up: Callable[..., Any], absent: str) -> None:
    folder = made_up().all(epochs=3).folder
    (folder / absent).unlink()
    run = read_run(folder)
    assert run.notes == ()
    assert "<!doctype html>" in render(run)


@pytest.mark.parametrize("only", FILES)
def test_any_one_file_alone_makes_a_page(made_up: Callable[..., Any], only: str) -> None:
    folder = made_up().all(epochs=3).folder
    for name in FILES:
        if name != only:
            (folder / name).unlink()
    assert "Not everything" not in write_report(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize("damaged", [name for name in FILES if name.endswith(".json")])
def test_a_damaged_file_leaves_its_part_out_and_is_named_on_the_page(made_up: Callable[..., Any], damaged: str) -> None:
    folder = made_up().all(epochs=3).folder
    (folder / damaged).write_text('{"format": 1, "tasks": {')
    run = read_run(folder)
    assert len(run.notes) == 1
    assert run.notes[0].startswith(f"{damaged} cannot be read")
    assert f"{damaged} cannot be read" in render(run)


def test_a_half_written_last_line_of_the_log_is_skipped_and_noted(made_up: Callable[..., Any]) -> None:
    folder = made_up().all(epochs=4).folder
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"epoch": 5, "losses": {"inc')
    run = read_run(folder)
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3, 4]
    assert run.notes == ("log.jsonl: line 5 is no whole JSON object and was skipped",)


def test_an_epoch_that_was_logged_again_counts_once_with_its_later_line(made_up: Callable[..., Any]) -> None:
    folder = made_up().all(epochs=4).folder
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps({"epoch": 4, "losses": {"age": 0.25}}) + "\n")
    run = read_run(folder)
    assert len(run.epochs) == 4
    assert run.epochs[-1].losses == {"age": 0.25}


def test_nan_and_infinity_are_missing_values(made_up: Callable[..., Any]) -> None:
    folder = made_up().folder
    (folder / "metrics.json").write_text(
        '{"format": 1, "splits": {"test": {"age": {"rmse": NaN, "mae": Infinity, "r2": null, "big": 1e999}}}}'
    )
    run = read_run(folder)
    assert run.metrics.splits["test"]["age"] == {"rmse": None, "mae": None, "r2": None, "big": None}
    page = render(run)
    assert "nan" not in page.split("<style>")[0].lower()
    assert '<td class="number">–</td>' in page


def test_a_value_of_the_wrong_type_is_missing_and_noted_with_its_path(made_up: Callable[..., Any]) -> None:
    folder = made_up().folder
    (folder / "metrics.json").write_text(
        '{"splits": {"test": {"age": {"rmse": "low"}}, "valid": [1]}, "cost": {"seconds": true}}'
    )
    run = read_run(folder)
    assert run.metrics.splits["test"]["age"]["rmse"] is None
    assert run.notes == (
        "metrics.json: splits.test.age.rmse should be a number, is 'low'; shown as missing",
        "metrics.json: splits.valid should be an object, is [1]; shown as missing",
        "metrics.json: cost.seconds should be a number, is True; shown as missing",
    )


@pytest.mark.parametrize(
    "content", ["[]", "3", '"word"', "null", "{}", '{"tasks": 3, "variants": {"a": 1}, "gains": [[]], "splits": 1}']
)
def test_json_of_another_shape_makes_a_page(made_up: Callable[..., Any], content: str) -> None:
    folder = made_up().folder
    for name in FILES:
        (folder / name).write_text(content + "\n")
    assert "</html>" in render(read_run(folder))


def test_a_newer_format_is_said(made_up: Callable[..., Any]) -> None:
    folder = made_up().all(epochs=2).folder
    (folder / "structure.json").write_text('{"format": 9, "tasks": {"a": {}}}')
    assert "has format 9, this version reads format 1" in read_run(folder).notes[0]


def test_a_folder_that_is_no_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"expected a run folder .* holds none of them; name the folder"):
        write_report(tmp_path)
    with pytest.raises(RunError, match="is no folder"):
        write_report(tmp_path / "absent")


def test_out_must_be_a_file(made_up: Callable[..., Any], tmp_path: Path) -> None:
    folder = made_up().all(epochs=2).folder
    with pytest.raises(RunError, match=r"is a folder; name a file"):
        write_report(folder, tmp_path)


def test_the_page_lies_in_the_folder_or_where_asked_and_is_replaced(
    made_up: Callable[..., Any], tmp_path: Path
) -> None:
    folder = made_up().all(epochs=2).folder
    assert write_report(folder) == folder / "report.html"
    other = write_report(folder, tmp_path / "new" / "page.html")
    assert other.read_bytes() == (folder / "report.html").read_bytes()
    assert write_report(folder) == folder / "report.html"
    assert not list(folder.glob("*.tmp"))


def test_a_comparison_may_come_from_another_folder(made_up: Callable[..., Any]) -> None:
    run, compared = made_up(), made_up()
    run.log()
    compared.compare(verdict="Sharing helped on income.")
    page = render(read_run(run.folder, comparison=compared.folder))
    assert "Sharing helped on income." in page
    assert 'id="learning"' in page
    with pytest.raises(RunError, match=r"expected a folder with compare\.json"):
        read_run(compared.folder, comparison=run.folder)
