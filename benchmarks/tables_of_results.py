"""compare.json as Markdown, for docs/results.md: python benchmarks/tables_of_results.py FOLDER/compare.json ..."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """Scores (mean over seeds, spread), gains with their intervals, seconds, the verdict."""
    tasks = list(found["tasks"])
    head = ["variant", *(f"{task} ({found['tasks'][task]['primary']})" for task in tasks), "parameters", "seconds"]
    lines = [row(head), row(["---"] * len(head))]
    for variant in found["variants"]:
        cost = variant.get("cost") or {}
        cells = [spread(variant["scores"].get(task)) for task in tasks]
        lines.append(row([variant["name"], *cells, whole(cost.get("parameters")), brief(cost.get("seconds"))]))
    lines += ["", row(["gain over single-task", *tasks]), row(["---"] * (len(tasks) + 1))]
    for name in dict.fromkeys(each["variant"] for each in found["gains"]):
        by_task = {each["task"]: each for each in found["gains"] if each["variant"] == name}
        lines.append(row([name, *(interval(by_task.get(task)) for task in tasks)]))
    return "\n".join([*lines, "", f"> {found['verdict']}"])


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def spread(values: list[float | None] | None) -> str:
    held = [value for value in values or [] if value is not None]
    if not held:
        return "-"
    mean = sum(held) / len(held)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in held) / (len(held) - 1)) if len(held) > 1 else 0.0
    return f"{mean:.4g}" + (f" ± {deviation:.2g}" if deviation > 1e-9 else "")


def interval(each: dict[str, Any] | None) -> str:
    if each is None:
        return "-"
    if each["low"] is None:
        return f"{100 * each['gain']:+.1f} %"
    return f"{100 * each['gain']:+.1f} % ({100 * each['low']:+.1f} to {100 * each['high']:+.1f})"


def whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def brief(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def main() -> None:
    for name in sys.argv[1:]:
        print(f"### {Path(name).parent.name}\n\n{markdown(json.loads(Path(name).read_text(encoding='utf-8')))}\n")


if __name__ == "__main__":
    main()
