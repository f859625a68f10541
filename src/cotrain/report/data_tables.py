"""Tables of what went in: tasks, labels, cleaning, columns."""

from __future__ import annotations

from collections.abc import Mapping

from cotrain.report.lookup import Json
from cotrain.report.result_tables import metric_name
from cotrain.report.run_folder import Cleaning, Column, DataReport, Structure
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.words import MISSING, THIN, count, percent, scaled, significant

SPLITS = ("train", "valid", "test")
COUNTS = ("classes", "counts", "class_counts")


def task_table(structure: Structure) -> Table | None:
    """The tasks as they were built."""
    if not structure.tasks:
        return None
    rows: list[list[Cell | str]] = [
        [
            Cell(task.name),
            task.kind or MISSING,
            Cell(", ".join(task.columns) or MISSING),
            metric_name(task.primary) if task.primary else MISSING,
            count(task.outputs),
            significant(task.weight),
            scaled(task.head_parameters),
        ]
        for task in structure.tasks
    ]
    heads = (
        Head("Task"),
        Head("Kind"),
        Head("Column", "name"),
        Head("Primary metric"),
        Head("Outputs", "number"),
        Head("Weight", "number"),
        Head("Head parameters", "number"),
    )
    return table("The tasks that were learnt", heads, rows, tall=len(rows) > 20)


def label_table(data: DataReport) -> Table | None:
    """How many labels each task has in each split, and what they look like."""
    if not data.labels:
        return None
    names = [name for name in SPLITS if any(name in facts for facts in data.labels.values())]
    rows: list[list[Cell | str]] = []
    for task, facts in data.labels.items():
        rest = {key: value for key, value in facts.items() if key not in names}
        rows.append([Cell(task), *(_labels(facts.get(name)) for name in names), Cell(describe(rest) or MISSING)])
    heads = (Head("Task"), *(Head(name, "number") for name in names), Head("Labels", "text"))
    return table("Labels of each task in each split", heads, rows, tall=len(rows) > 20)


def _labels(value: Json) -> Cell:
    if isinstance(value, dict):
        number = value.get("count", value.get("labels"))
        rest = {key: one for key, one in value.items() if key not in ("count", "labels")}
        return Cell(count(_number(number)), describe(rest))
    return Cell(count(_number(value)))


def describe(facts: Mapping[str, Json], *, limit: int = 6) -> str:
    """Facts as words: class counts as shares, numbers short.

    >>> describe({"classes": {"yes": 1, "no": 3}, "mean": 2.5})
    'yes 25 %, no 75 %; mean 2.5'
    """
    parts = []
    for key, value in facts.items():
        name = key.replace("_", " ")
        numbers = _numbers(value)
        if numbers:
            total = sum(numbers.values())
            whole = key in COUNTS and total > 0
            words = [
                f"{label} {percent(one / total, decimals=0, signed=False) if whole else significant(one)}".replace(
                    THIN, " "
                )
                for label, one in list(numbers.items())[:limit]
            ]
            more = f" and {len(numbers) - limit} more" if len(numbers) > limit else ""
            parts.append(("" if whole else f"{name}: ") + ", ".join(words) + more)
        elif (number := _number(value)) is not None:
            parts.append(f"{name} {significant(number)}")
        elif isinstance(value, str):
            parts.append(f"{name} {value}")
    return "; ".join(parts)


def _numbers(value: Json) -> dict[str, float]:
    """{name: number} where a value is an object of nothing but numbers, else nothing."""
    if not isinstance(value, dict):
        return {}
    found = {name: number for name, one in value.items() if (number := _number(one)) is not None}
    return found if len(found) == len(value) else {}


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def cleaning_table(steps: tuple[Cleaning, ...]) -> Table | None:
    """What cleaning did, with counts."""
    if not steps:
        return None
    rows: list[list[Cell | str]] = [
        [Cell(one.step.replace("_", " ")), Cell(one.column or "whole table"), count(one.count), Cell(one.detail or "")]
        for one in steps
    ]
    heads = (Head("Step"), Head("Column", "name"), Head("Count", "number"), Head("Detail", "text"))
    return table("What cleaning did", heads, rows, tall=len(rows) > 20)


def _share(number: int | None, rows: int | None) -> str:
    if not number or not rows:
        return ""
    return percent(number / rows, signed=False) if number / rows >= 0.0005 else f"< 0.1{THIN}%"


def column_table(columns: tuple[Column, ...], rows: int | None) -> Table | None:
    """The columns: role, kind and why, missing cells, different values."""
    if not columns:
        return None
    order = {"target": 0, "input": 1}
    lines: list[list[Cell | str]] = []
    for one in sorted(columns, key=lambda column: order.get(column.role or "", 2)):
        share = _share(one.missing, rows)
        why = "; ".join(part for part in (one.why, one.note) if part)
        lines.append(
            [
                Cell(one.name),
                Cell(
                    one.role or MISSING,
                    tone="strong" if one.role == "target" else "quiet" if one.role == "ignored" else "",
                ),
                one.kind or MISSING,
                Cell(count(one.missing), share),
                count(one.unique),
                Cell(why),
            ]
        )
    heads = (
        Head("Column", "name"),
        Head("Role"),
        Head("Kind"),
        Head("Missing", "number"),
        Head("Different", "number", "number of different values"),
        Head("Why this kind", "text"),
    )
    return table("Columns and the kinds they were taken for", heads, lines, tall=len(lines) > 16)
