"""The experts on the page: how evenly they are used, and a warning where one is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cotrain
from cotrain.report.page import write_report
from cotrain.report.reading import read_run
from cotrain.report.usage import collapsed, gates, usage_table

EVEN = {"income": [0.25, 0.25, 0.3, 0.2], "<b>age": [0.1, 0.4, 0.25, 0.25]}


def written(folder: Path, shares: dict[str, list[float]], entropy: float = 0.9, sharing: Any = "mmoe") -> Path:
    folder.mkdir(exist_ok=True)
    usage = {f"expert_entropy/{name}": entropy for name in shares}
    usage |= {f"expert_share/{name}/{at}": share for name, one in shares.items() for at, share in enumerate(one)}
    lines = [{"epoch": epoch, "usage": usage} for epoch in (1, 2)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "structure.json").write_text(json.dumps({"format": 1, "sharing": sharing, "tasks": {}}))
    return folder


def test_every_gate_has_a_row_with_its_evenness_and_its_largest_share(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, EVEN))
    found = usage_table(run)
    assert found is not None
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["income", "0.90", "0.90", "expert 3: 30\u202f%"],
        ["<b>age", "0.90", "0.90", "expert 2: 40\u202f%"],
    ]
    assert collapsed(run) == []
    page = write_report(tmp_path).read_text("utf-8")
    assert "Use of the experts" in page
    assert "<b>age" not in page
    assert "Experts that are not used" not in page


def test_a_gate_that_reads_one_expert_alone_is_said(tmp_path: Path) -> None:
    run = read_run(written(tmp_path, {"income": [0.99, 0.005, 0.005]}, entropy=0.06, sharing={"name": "ple"}))
    (said,) = collapsed(run)
    assert "“income” reads one expert nearly alone (evenness 0.06 of 1)" in said
    assert "Experts that are not used" in write_report(tmp_path).read_text("utf-8")


def test_an_expert_that_no_task_uses_is_said_where_all_read_the_same_ones(tmp_path: Path) -> None:
    shares = {"income": [0.6, 0.395, 0.005], "age": [0.3, 0.692, 0.008]}
    (said,) = collapsed(read_run(written(tmp_path / "a", shares)))
    assert said.startswith("expert 3: every task gives it less than 1\u202f%")
    assert collapsed(read_run(written(tmp_path / "b", shares, sharing="cgc"))) == []


def test_a_log_without_experts_or_without_shares_has_no_table_or_no_drawing(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"epoch": 1, "usage": {"film_scale/a": 0.2}}))
    assert usage_table(read_run(tmp_path)) is None
    (tmp_path / "log.jsonl").write_text(json.dumps({"epoch": 1, "usage": {"expert_entropy/a": None}}))
    found = usage_table(read_run(tmp_path))
    assert found is not None
    assert [cell.text for cell in found.rows[0]] == ["a", "–", "–", ""]


def test_a_real_run_logs_what_the_page_shows(tmp_path: Path) -> None:
    table = {
        "x": [float(at % 7) for at in range(80)],
        "a": [float(at % 7) for at in range(80)],
        "b": [float(at % 3) for at in range(80)],
    }
    train = {"epochs": 2, "early_stopping": None}
    for sharing in ("mmoe", "cgc", "ple", "dselect_k"):
        folder = tmp_path / sharing
        tasks = {"a": "regression", "b": "regression"}
        encoder = {"name": "mlp", "widths": [4, 4]}
        cotrain.fit(table, tasks=tasks, encoder=encoder, sharing=sharing, train=train, folder=folder)
        for gate in gates(read_run(folder)):
            assert abs(sum(gate.shares) - 1) < 1e-6
            assert gate.last is not None
            assert 0 <= gate.last <= 1 + 1e-9
