"""Figures are what Plotly accepts, say what the numbers say, and stay readable for many tasks and long runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest

from cotrain.report.charts.base import THINNED_TO, Chart
from cotrain.report.charts.cosines import cosine_chart, cosine_pairs
from cotrain.report.charts.curves import loss_chart, norm_chart, score_chart, weight_chart
from cotrain.report.charts.gains import gain_chart
from cotrain.report.reading import read_run
from cotrain.report.result_tables import pair_table
from cotrain.report.run_folder import RunFolder
from cotrain.report.words import THIN


def charts_of(run: RunFolder) -> list[Chart]:
    best = run.metrics.best_epoch
    return [
        chart
        for chart in (
            gain_chart(run.comparison),
            loss_chart(run.epochs, run.tasks, best=best),
            score_chart(run.epochs, best=best),
            weight_chart(run.epochs, run.tasks),
            norm_chart(run.epochs, run.tasks),
            cosine_chart(cosine_pairs(run.epochs), run.tasks),
        )
        if chart is not None
    ]


def painted(value: Any) -> Any:
    """The figure with every colour role replaced by a colour, as the page does."""
    if isinstance(value, dict):
        return {key: painted(one) for key, one in value.items()}
    if isinstance(value, list):
        return [painted(one) for one in value]
    return "#123456" if isinstance(value, str) and value.startswith("@") else value


@pytest.mark.parametrize("number", [1, 3, 9])
def test_plotly_accepts_every_figure(made_up: Callable[..., Any], number: int) -> None:
    run = read_run(made_up(tasks=[f"t{index}" for index in range(number)]).all(epochs=4).folder)
    charts = charts_of(run)
    assert len(charts) == (5 if number == 1 else 6)
    for chart in charts:
        go.Figure(json.loads(json.dumps(painted(chart.figure), allow_nan=False)))
        assert chart.summary.endswith((".", "!"))


def test_up_to_eight_tasks_have_a_line_each_and_more_are_a_sheaf_with_its_mean(made_up: Callable[..., Any]) -> None:
    few = read_run(made_up(tasks=[f"t{index}" for index in range(8)]).all(epochs=3).folder)
    many = read_run(made_up(tasks=[f"t{index}" for index in range(9)]).all(epochs=3).folder)
    few_chart, many_chart = weight_chart(few.epochs, few.tasks), weight_chart(many.epochs, many.tasks)
    assert [key.label for key in few_chart.keys] == list(few.tasks)
    assert len({(t["line"]["color"], t["line"]["dash"]) for t in few_chart.figure["data"]}) == 8
    assert len(many_chart.figure["data"]) == 10
    assert many_chart.keys[0].label == "mean of 9 tasks"
    middle = many_chart.figure["data"][-1]["y"][0]
    first = many.epochs[0].weights
    assert middle == pytest.approx(sum(first.values()) / 9, rel=1e-4)


def test_a_long_run_is_thinned_and_says_so(made_up: Callable[..., Any]) -> None:
    run = read_run(made_up(tasks=["a"]).all(epochs=2500).folder)
    chart = loss_chart(run.epochs, run.tasks, best=None)
    xs = chart.figure["data"][0]["x"]
    assert len(xs) <= THINNED_TO
    assert (xs[0], xs[-1]) == (1, 2500)
    assert chart.note == "834 of 2,500 epochs drawn."


def test_a_single_epoch_makes_no_curve(made_up: Callable[..., Any]) -> None:
    run = read_run(made_up().all(epochs=1).folder)
    assert [chart.name for chart in charts_of(run)] == ["gains", "cosines"]


def test_missing_values_are_gaps(made_up: Callable[..., Any]) -> None:
    maker = made_up(tasks=["a"])
    lines = [
        {"epoch": i, "losses": {"a": None if i == 2 else 0.5}, "score": None if i == 3 else 0.1 * i} for i in (1, 2, 3)
    ]
    (maker.folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run = read_run(maker.folder)
    assert loss_chart(run.epochs, run.tasks, best=None).figure["data"][0]["y"] == [0.5, None, 0.5]
    assert score_chart(run.epochs, best=None).figure["data"][0]["y"] == [0.1, 0.2, None]


def gains_document(gain: float, low: float, high: float) -> dict[str, Any]:
    return {
        "seeds": [0, 1, 2, 3, 4],
        "tasks": {"a": {"primary": "auc", "higher_is_better": True}},
        "variants": [{"name": "joint", "kind": "joint"}],
        "gains": [{"variant": "joint", "task": "a", "gain": gain, "low": low, "high": high, "per_seed": [gain]}],
    }


def test_a_dot_is_filled_only_where_the_interval_leaves_zero_out(made_up: Callable[..., Any]) -> None:
    fills = []
    for low in (0.01, -0.01):
        maker = made_up()
        maker.json("compare.json", gains_document(0.03, low, 0.06))
        fills.append(gain_chart(read_run(maker.folder).comparison).figure["data"][-1]["marker"]["color"])
    assert fills == ["@c0", "@card"]


def test_a_gain_far_to_the_left_is_drawn_at_the_edge_and_said(made_up: Callable[..., Any]) -> None:
    maker = made_up()
    maker.json("compare.json", gains_document(-25.0, -30.0, -20.0))
    chart = gain_chart(read_run(maker.folder).comparison)
    assert chart.figure["layout"]["xaxis"]["range"][0] > -1.2
    assert chart.figure["data"][-1]["marker"]["symbol"] == "triangle-left"
    assert "1 dot further left" in chart.note


def test_more_than_twelve_tasks_show_the_named_variant_by_falling_gain(made_up: Callable[..., Any]) -> None:
    run = read_run(made_up(tasks=[f"t{index}" for index in range(13)]).all(epochs=2).folder)
    chart = gain_chart(run.comparison)
    assert chart.note == "joint (mmoe), by falling gain; 2 other variants in the table."
    dots = [trace["x"][0] for trace in chart.figure["data"] if "hovertemplate" in trace]
    assert dots == sorted(dots, reverse=True)
    assert len(dots) == 13


def test_cosines_are_means_over_the_log_and_the_map_is_symmetric(made_up: Callable[..., Any]) -> None:
    maker = made_up(tasks=["a", "b"])
    lines = [{"epoch": i, "losses": {"a": 1, "b": 1}, "cosines": {"a|b": v}} for i, v in enumerate((0.5, -0.1, None))]
    (maker.folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run = read_run(maker.folder)
    (pair,) = cosine_pairs(run.epochs)
    assert (pair.mean, pair.lowest) == (pytest.approx(0.2), -0.1)
    assert cosine_chart((pair,), run.tasks).figure["data"][0]["z"] == [[None, 0.2], [0.2, None]]


def test_affinity_is_told_in_both_directions(made_up: Callable[..., Any]) -> None:
    maker = made_up(tasks=["a>b", "c"])
    line = {
        "epoch": 1,
        "losses": {"a>b": 1, "c": 1},
        "cosines": {"a>b|c": 0.5},
        "affinity": {"a>b>c": 0.002, "c>a>b": -0.001},
    }
    (maker.folder / "log.jsonl").write_text(json.dumps(line))
    pairs = cosine_pairs(read_run(maker.folder).epochs)
    assert (pairs[0].forward, pairs[0].backward) == (0.002, -0.001)
    row = [cell.text.replace(THIN, " ") for cell in pair_table(pairs).rows[0]]
    assert row == ["a>b · c", "0.50", "0.50", "+0.200 %", "−0.100 %"]


def test_names_that_hold_the_separator_are_told_apart(made_up: Callable[..., Any]) -> None:
    maker = made_up(tasks=["a|b", "c"])
    (maker.folder / "log.jsonl").write_text(
        json.dumps({"epoch": 1, "losses": {"a|b": 1, "c": 1}, "cosines": {"a|b|c": 0.5}})
    )
    (pair,) = cosine_pairs(read_run(maker.folder).epochs)
    assert (pair.first, pair.second) == ("a|b", "c")
    (pair,) = cosine_pairs((), ["a|b", "c"], instead={"a|b|c": 0.25})
    assert (pair.first, pair.mean) == ("a|b", 0.25)
