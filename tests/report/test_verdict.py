"""The headline says what the numbers hold, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from cotrain.report.reading import read_run
from cotrain.report.verdict import Verdict, judge

GAINS = ((0.03, 0.01, 0.05), (0.02, 0.005, 0.04))


def compared(
    maker: Any, *, seeds: int = 5, gains: Any = GAINS, constant: float = 0.5, verdict: str = "It is so."
) -> Verdict:
    """The verdict of a comparison of two tasks with these gains of its joint variant."""
    tasks = [f"task{index}" for index in range(len(gains))]
    document = {
        "seeds": list(range(seeds)),
        "tasks": {task: {"primary": "auc", "higher_is_better": True} for task in tasks},
        "variants": [
            {
                "name": "single-task",
                "kind": "single",
                "scores": {task: [0.9] * seeds for task in tasks},
                "cost": {"seconds": 10},
            },
            {
                "name": "joint (hard)",
                "kind": "joint",
                "scores": {task: [0.91] * seeds for task in tasks},
                "cost": {"seconds": 4},
            },
            {"name": "constant", "kind": "constant", "scores": {task: [constant] for task in tasks}, "cost": None},
        ],
        "gains": [
            {"variant": "joint (hard)", "task": task, "gain": gain, "low": low, "high": high}
            for task, (gain, low, high) in zip(tasks, gains, strict=True)
        ],
        "verdict": verdict,
    }
    maker.json("compare.json", document)
    return judge(read_run(maker.folder))


HELPED, HARMED, NEITHER = (0.03, 0.01, 0.05), (-0.03, -0.05, -0.01), (0.01, -0.01, 0.03)


@pytest.mark.parametrize(
    ("gains", "tone"),
    [
        ((HELPED, HELPED), "good"),
        ((HELPED, NEITHER), "good"),
        ((HARMED, NEITHER), "bad"),
        ((HARMED, HELPED), "mixed"),
        ((NEITHER, NEITHER), "same"),
        (((0.2, None, None), (0.1, None, None)), "same"),
    ],
)
def test_the_tone_follows_the_intervals(made_up: Callable[..., Any], gains: Any, tone: str) -> None:
    assert compared(made_up(), gains=gains).tone == tone


def test_four_seeds_are_too_few_for_any_tone(made_up: Callable[..., Any]) -> None:
    found = compared(made_up(), seeds=4)
    assert (found.tone, found.words) == ("unsure", "Too few seeds for a verdict")


def test_networks_that_do_not_beat_the_constant_have_learnt_nothing(made_up: Callable[..., Any]) -> None:
    found = compared(made_up(), constant=0.95)
    assert (found.tone, found.words) == ("bad", "Nothing learnt that carries over")


def test_the_figures_are_those_of_the_joint_variant(made_up: Callable[..., Any]) -> None:
    figures = {figure.label: figure for figure in compared(made_up(), gains=(HELPED, HARMED)).figures}
    assert figures["Worst task"].value.startswith("−3.0")
    assert figures["Worst task"].note == "task1"
    assert figures["Tasks harmed"].value == "1 of 2"
    assert figures["Training time"].value == "0.4 ×"
    assert figures["Mean gain"].value.startswith("0.0")


def test_the_claim_is_the_headline_and_its_numbers_stand_below(made_up: Callable[..., Any]) -> None:
    numbers = "joint (hard) changed the single-task error by a relative reduction of task0 +3.0 %"
    found = compared(made_up(), verdict=f"Sharing helped on task0: {numbers}.")
    assert found.sentence == "Sharing helped on task0."
    assert found.detail.startswith("Joint (hard) changed")
    assert compared(made_up(), verdict="Short: it is so.").sentence == "Short: it is so."


@pytest.mark.parametrize(
    ("skill", "tone", "part"),
    [
        (0.6, "good", "all 3 beat the best constant prediction"),
        (0.04, "mixed", "1 of 3 beat"),
        (0.0, "bad", "none of the 3"),
    ],
)
def test_without_comparison_the_constant_prediction_is_the_measure(
    made_up: Callable[..., Any], skill: float, tone: str, part: str
) -> None:
    maker = made_up()
    maker.structure()
    maker.data()
    maker.metrics(skill=skill)
    found = judge(read_run(maker.folder))
    assert found.tone == tone
    assert part in found.sentence
    assert found.sentence.startswith("3 tasks learnt together from 99,762 rows")


def test_one_task_is_not_learnt_together(made_up: Callable[..., Any]) -> None:
    maker = made_up(tasks=["age"])
    maker.metrics()
    assert "1 task learnt on its own; on the test split it beats" in judge(read_run(maker.folder)).sentence


def test_a_run_that_was_not_evaluated_claims_nothing(made_up: Callable[..., Any]) -> None:
    maker = made_up()
    maker.log(2)
    found = judge(read_run(maker.folder))
    assert (found.tone, found.sentence) == ("unsure", "3 tasks learnt together; not evaluated yet.")


def test_an_outcome_that_the_comparison_wrote_itself_is_kept(made_up: Callable[..., Any]) -> None:
    maker = made_up()
    compared(maker)
    document = json.loads((maker.folder / "compare.json").read_text())
    maker.json("compare.json", document | {"outcome": "mixed"})
    assert judge(read_run(maker.folder)).tone == "mixed"
