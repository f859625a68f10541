"""Puts the parts together: one HTML page with its style, its script, Plotly and the figures inside.

Two walls keep words from the data from acting: every word is escaped where it is put (autoescaping in the templates, JSON without
"<" in the figures), and the page's own policy allows only the two scripts whose hashes it names and no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from cotrain.core.errors import RunError
from cotrain.core.state import whole_file
from cotrain.report import data_tables, result_tables, words
from cotrain.report.affinity import affinity_chart, affinity_table
from cotrain.report.charts.base import Chart, kept
from cotrain.report.charts.cosines import Pair, cosine_chart, cosine_pairs
from cotrain.report.charts.curves import loss_chart, norm_chart, score_chart, weight_chart
from cotrain.report.charts.gains import gain_chart
from cotrain.report.charts.tuning import front_chart, history_chart, settings_chart
from cotrain.report.drawings import curve
from cotrain.report.learnt_table import learnt_table
from cotrain.report.lookup import Json
from cotrain.report.pictures import drawn
from cotrain.report.reading import read_run
from cotrain.report.run_folder import RunFolder
from cotrain.report.scores import TaskScore, task_scores
from cotrain.report.tuned import importance_table, tuned_table
from cotrain.report.usage import collapsed, usage_table
from cotrain.report.verdict import judge

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Small:
    """One small multiple: a task's primary metric over the epochs, drawn, and in words."""

    task: str
    metric: str
    value: str
    drawing: Markup
    low: str
    high: str


def write_report(folder: Path, out: Path | None = None, *, comparison: Path | None = None) -> Path:
    """Write the page of a run folder and return where it is: `out`, or report.html in the folder.

    comparison: the folder of a `compare` of the same tasks, where that is another one; its verdict heads the page.
    An earlier page is replaced at once. Raises RunError where the folder is none of a run, or `out` is a folder.
    """
    run = read_run(Path(folder), comparison=None if comparison is None else Path(comparison))
    target = Path(folder) / "report.html" if out is None else Path(out)
    if target.is_dir():
        raise RunError(
            f"expected a file to write the report to, but '{target}' is a folder; name a file such as report.html"
        )
    page = render(run)
    with whole_file(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
        temporary.chmod(0o644)
    return target


def render(run: RunFolder) -> str:
    """The whole page as one string."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=words.count,
        duration=words.duration,
        scaled=words.scaled,
        percent=words.percent,
        significant=words.significant,
    )
    environment.filters["drawn"] = Markup
    boxes = [] if run.pictures is None else [box.task for one in run.pictures.pictures for box in one.boxes]
    colours = {task: place for place, task in enumerate(run.tasks) if task in boxes}
    environment.filters["boxed"] = lambda picture: drawn(picture, colours)
    environment.filters["share"] = lambda value: words.fixed(value, 2)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    charts = _charts(run)
    figures = {name: chart.figure for name, chart in charts.items() if chart is not None}
    needed = [get_plotlyjs(), script] if figures else []
    return environment.get_template("report.html.j2").render(
        run=run,
        title=run.name,
        subtitle=_subtitle(run),
        origin=_origin(run),
        verdict=judge(run),
        charts=charts,
        figures=embedded(figures),
        tables=_tables(run),
        colours=colours,
        smalls=_smalls(run, task_scores(run)),
        settings=_settings(run),
        splits=_splits(run),
        usage_warnings=collapsed(run),
        skipped=sum(epoch.skipped or 0 for epoch in run.epochs),
        norm_ratio=_norm_ratio(run),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        scripts=[Markup(text) for text in needed],
        policy=policy(needed),
    )


def policy(scripts: Sequence[str]) -> str:
    """The content security policy: these scripts by hash, inline style, data images, nothing else from anywhere."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded(value: Any) -> Markup:
    r"""JSON that can stand inside <script>: no "<", ">" or "&" is left that could end or open a tag.

    >>> print(embedded({"a": "</script>"}))
    {"a":"\u003c/script\u003e"}
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _charts(run: RunFolder) -> dict[str, Chart | None]:
    best = run.metrics.best_epoch if run.metrics is not None else None
    return {
        "gains": gain_chart(run.comparison) if run.comparison is not None else None,
        "loss": loss_chart(run.epochs, run.tasks, best=best),
        "score": score_chart(run.epochs, best=best),
        "weights": weight_chart(run.epochs, run.tasks),
        "norms": norm_chart(run.epochs, run.tasks),
        "cosines": cosine_chart(_pairs(run), run.tasks),
        "affinity": None if run.affinity is None else affinity_chart(run.affinity),
        "tuning": None if run.tuned is None else history_chart(run.tuned),
        "front": None if run.tuned is None else front_chart(run.tuned),
        "settings": None if run.tuned is None else settings_chart(run.tuned),
    }


def _pairs(run: RunFolder) -> tuple[Pair, ...]:
    instead = run.comparison.cosines if run.comparison is not None else None
    return cosine_pairs(run.epochs, run.tasks, instead=instead)


def _tables(run: RunFolder) -> dict[str, Any]:
    scores = task_scores(run)
    comparison, data, structure = run.comparison, run.data, run.structure
    return {
        "score": result_tables.score_table(scores),
        "metric": result_tables.metric_table(scores),
        "learnt": learnt_table(run.metrics) if run.metrics else None,
        "gain": result_tables.gain_table(comparison) if comparison else None,
        "delta": result_tables.delta_table(comparison) if comparison else None,
        "affinity": affinity_table(run.affinity) if run.affinity else None,
        "tuned": tuned_table(run.tuned) if run.tuned else None,
        "importance": importance_table(run.tuned) if run.tuned else None,
        "cost": result_tables.cost_table(run),
        "pairs": result_tables.pair_table(_pairs(run)),
        "usage": usage_table(run),
        "balance": result_tables.balance_table(run.epochs, run.tasks),
        "task": data_tables.task_table(structure) if structure else None,
        "label": data_tables.label_table(data) if data else None,
        "cleaning": data_tables.cleaning_table(data.cleaning) if data else None,
        "column": data_tables.column_table(data.columns, data.rows) if data else None,
    }


def _smalls(run: RunFolder, scores: Sequence[TaskScore]) -> list[Small]:
    """The primary metric on the validation split over the epochs, one drawing a task."""
    primary = {task.name: task.primary for task in run.structure.tasks} if run.structure is not None else {}
    primary |= {score.task: score.primary.metric for score in scores if score.primary is not None}
    best = run.metrics.best_epoch if run.metrics is not None else None
    smalls = []
    for task in dict.fromkeys((*run.tasks, *(name for epoch in run.epochs for name in epoch.valid))):
        metric = primary.get(task) or next((m for epoch in run.epochs for m in epoch.valid.get(task, {})), None)
        if metric is None:
            continue
        points = [(epoch.epoch, epoch.valid.get(task, {}).get(metric)) for epoch in run.epochs]
        known = [y for _, y in points if y is not None]
        if not known:
            continue
        places = words.decimals_for(known)
        low, high = words.fixed(min(known), places), words.fixed(max(known), places)
        value = words.fixed(dict(points).get(-1.0 if best is None else best, known[-1]), places)
        shown = sorted({*kept(len(points), limit=480), *(i for i, (x, _) in enumerate(points) if x == best)})
        drawing = Markup(curve([points[i] for i in shown], marked=best))
        smalls.append(Small(task, result_tables.metric_name(metric), value, drawing, low, high))
    return smalls


def _settings(run: RunFolder) -> list[tuple[str, str, str]]:
    """(part, its name, its settings in words) of the network."""
    if run.structure is None:
        return []
    parts = (
        ("Encoder", run.structure.encoder),
        ("Sharing", run.structure.sharing),
        ("Balancing", run.structure.balance),
    )
    return [(label, *_named(value)) for label, value in parts if value is not None]


def _subtitle(run: RunFolder) -> str:
    """What was trained, in a line: the tasks and the parts."""
    parts = [name for label, name, _ in _settings(run) if name and label != "Balancing"]
    balance = next((name for label, name, _ in _settings(run) if label == "Balancing"), "")
    network = " + ".join(parts) + (f", balanced by {balance}" if balance else "")
    return " · ".join(
        part for part in (words.listed([words.shorten(task, 24) for task in run.tasks], limit=5), network) if part
    )


def _origin(run: RunFolder) -> str:
    """The name of the table's file; what is no single path is left as it is."""
    origin = (run.data.origin if run.data is not None else None) or ""
    return origin if "," in origin else origin.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _named(value: Json) -> tuple[str, str]:
    if not isinstance(value, dict):
        return _plain(value), ""
    name = _plain(value.get("name") or value.get("class") or value.get("kind") or "")
    rest = {key: one for key, one in value.items() if key not in ("name", "class", "kind")}
    if not name and len(rest) == 1:
        key, inner = next(iter(rest.items()))
        if isinstance(inner, dict):
            return _named(inner)
        return f"{key} {_plain(inner)}", ""
    return name, " · ".join(f"{key.replace('_', ' ')} {_plain(one)}" for key, one in rest.items() if one is not None)


def _plain(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(not isinstance(one, (list, dict)) for one in value):
        return ", ".join(_plain(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return words.significant(float(value), digits=4) if isinstance(value, float) else json.dumps(value)


def _splits(run: RunFolder) -> list[tuple[str, int, float]]:
    """(name, rows, share) of every split."""
    if run.data is None:
        return []
    known = {name: number for name, number in run.data.splits.items() if number is not None}
    total = sum(known.values())
    return [(name, number, number / total) for name, number in known.items()] if total else []


def _norm_ratio(run: RunFolder) -> float | None:
    """Mean norm of the longest gradient over that of the shortest, over all logged epochs."""
    sums: dict[str, list[float]] = {}
    for epoch in run.epochs:
        for task, value in epoch.norms.items():
            if value is not None and value > 0:
                sums.setdefault(task, []).append(value)
    means = [sum(values) / len(values) for values in sums.values()]
    if len(means) > 1:
        return max(means) / min(means)
    return run.comparison.norm_ratio if run.comparison is not None else None
