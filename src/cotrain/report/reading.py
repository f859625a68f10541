"""Reads a run folder into typed values. An absent file leaves its part out; a damaged one does too, and is noted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cotrain.core.errors import RunError
from cotrain.report.lookup import Node, Notes, read_json, read_lines
from cotrain.report.pictures import read_pictures
from cotrain.report.run_folder import (
    Affinity,
    Cleaning,
    Column,
    ComparedTask,
    Comparison,
    Cost,
    DataReport,
    Epoch,
    Gain,
    Interval,
    Learnt,
    Metrics,
    Pair,
    RunFolder,
    Scores,
    Structure,
    TaskInfo,
    Variant,
)
from cotrain.report.tuned import read_tuned

FORMAT = 1
FILES = (
    "config.yaml",
    "structure.json",
    "environment.json",
    "data.json",
    "log.jsonl",
    "metrics.json",
    "compare.json",
    "affinity.json",
    "tune.json",
)


def read_run(folder: Path, *, comparison: Path | None = None) -> RunFolder:
    """The run folder as typed values; with `comparison`, compare.json comes from that folder.

    Raises RunError where a path is no folder or holds none of the files of a run, or `comparison` holds no compare.json.
    """
    if comparison is not None and not (comparison / "compare.json").is_file():
        raise RunError(
            f"expected a folder with compare.json, but '{comparison}' holds none; "
            "name the folder that `cotrain compare` printed"
        )
    if not folder.is_dir():
        raise RunError(f"expected a run folder, but '{folder}' is no folder; `cotrain train CONFIG` makes one")
    present = [name for name in FILES if (folder / name).is_file()]
    if not present:
        raise RunError(
            f"expected a run folder with {', '.join(FILES)}, but '{folder}' holds none of them; "
            "name the folder that `cotrain train` or `cotrain compare` printed"
        )
    notes = Notes()
    environment, seconds = _environment(read_json(folder / "environment.json", notes))
    return RunFolder(
        name=folder.resolve().name,
        config=_config(folder / "config.yaml", notes),
        structure=_structure(read_json(folder / "structure.json", notes)),
        environment=environment,
        seconds=seconds,
        data=_data(read_json(folder / "data.json", notes)),
        epochs=_epochs(folder / "log.jsonl", notes),
        metrics=_metrics(read_json(folder / "metrics.json", notes)),
        comparison=_comparison(read_json((comparison or folder) / "compare.json", notes)),
        pictures=read_pictures(read_json(folder / "pictures.json", notes)),
        affinity=_affinity(read_json(folder / "affinity.json", notes)),
        tuned=read_tuned(read_json(folder / "tune.json", notes)),
        notes=tuple(notes.sentences),
    )


def _config(path: Path, notes: Notes) -> str | None:
    if not path.exists():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        notes.add(f"{path.name} cannot be read ({error}); what it holds is left out of this page")
        return None


def _check_format(node: Node) -> None:
    number = node.number("format")
    if number is not None and number > FORMAT:
        node.notes.add(
            f"{node.file} has format {number:g}, this version reads format {FORMAT}; "
            "some of it may be missing or mistaken here: install a newer cotrain"
        )


def _structure(node: Node) -> Structure | None:
    if not node:
        return None
    _check_format(node)
    parameters = node.at("parameters")
    heads = parameters.numbers("heads")
    tasks = []
    for name, task in node.at("tasks").entries():
        head = heads.get(name)
        tasks.append(
            TaskInfo(
                name=name,
                kind=task.text("kind"),
                columns=task.texts("columns"),
                primary=task.text("primary"),
                outputs=task.whole("outputs"),
                weight=task.number("weight"),
                head_parameters=None if head is None else int(head),
            )
        )
    return Structure(
        tasks=tuple(tasks),
        encoder=node.at("encoder").value,
        sharing=node.at("sharing").value,
        balance=node.at("balance").value,
        parameters=parameters.whole("total"),
        shared=parameters.whole("shared"),
        loops=node.texts("loops"),
    )


def _environment(node: Node) -> tuple[dict[str, str], float | None]:
    facts = {}
    for key, value in node.entries():
        if isinstance(value.value, (str, int, float)):
            facts[key] = value.as_text() or ""
    return facts, node.number("seconds")


def _data(node: Node) -> DataReport | None:
    if not node:
        return None
    columns = tuple(
        Column(
            name=one.text("name") or "",
            kind=one.text("kind"),
            why=one.text("why"),
            missing=one.whole("missing"),
            unique=one.whole("unique"),
            role=one.text("role"),
            note=one.text("note"),
        )
        for one in node.at("columns").items()
    )
    cleaning = tuple(
        Cleaning(one.text("step") or "", one.text("column"), one.whole("count"), one.text("detail"))
        for one in node.at("cleaning").items()
    )
    return DataReport(
        origin=node.text("origin"),
        rows=node.whole("rows"),
        columns=columns,
        cleaning=cleaning,
        splits={name: None if count is None else int(count) for name, count in node.numbers("splits").items()},
        method=node.text("method"),
        labels={
            task: {key: fact.value for key, fact in facts.entries()} for task, facts in node.at("labels").entries()
        },
        warnings=node.texts("warnings"),
        notes=node.texts("notes"),
    )


def _scores(node: Node) -> Scores:
    return {task: {metric: value.as_number() for metric, value in scores.entries()} for task, scores in node.entries()}


def _epochs(path: Path, notes: Notes) -> tuple[Epoch, ...]:
    epochs: dict[float, Epoch] = {}
    for index, node in enumerate(read_lines(path, notes)):
        number = node.number("epoch")
        number = float(index) if number is None else number
        # A resumed run may log an epoch again: the later line is the one that counts.
        epochs[number] = Epoch(
            epoch=number,
            seconds=node.number("seconds"),
            lr=node.number("lr"),
            losses=node.numbers("losses"),
            valid=_scores(node.at("valid")),
            valid_loss=node.numbers("valid_loss"),
            score=node.number("score"),
            weights=node.numbers("weights"),
            cosines=node.numbers("cosines"),
            norms=node.numbers("norms"),
            affinity=node.numbers("affinity"),
            skipped=node.whole("skipped"),
            usage=node.numbers("usage"),
        )
    return tuple(epochs[number] for number in sorted(epochs))


def _cost(node: Node) -> Cost:
    seconds = node.number("seconds")
    return Cost(
        parameters=node.number("parameters"),
        flops_per_row=node.number("flops_per_row"),
        seconds=node.number("train_seconds") if seconds is None else seconds,
        peak_memory_mib=node.number("peak_memory_mib"),
        rows_per_second=node.number("rows_per_second"),
    )


def _metrics(node: Node) -> Metrics | None:
    if not node:
        return None
    _check_format(node)
    better: dict[str, Mapping[str, bool]] = {}
    for task, flags in node.at("higher_is_better").entries():
        found = {metric: flags.flag(metric) for metric, _ in flags.entries()}
        better[task] = {metric: flag for metric, flag in found.items() if flag is not None}
    return Metrics(
        best_epoch=node.number("best_epoch"),
        stopped=node.text("stopped"),
        notes=node.texts("notes"),
        splits={split: _scores(scores) for split, scores in node.at("splits").entries()},
        constant=_scores(node.at("constant")),
        cost=_cost(node.at("cost")),
        higher_is_better=better,
        learnt={
            task: Learnt(one.number("threshold"), one.at("calibration").text("name"), _scores(one.at("before")))
            for task, one in node.at("learnt").entries()
        },
    )


def _comparison(node: Node) -> Comparison | None:
    if not node:
        return None
    _check_format(node)
    tasks = tuple(
        ComparedTask(name, one.text("primary"), one.text("unit"), one.flag("higher_is_better"))
        for name, one in node.at("tasks").entries()
    )
    variants = tuple(
        Variant(
            name=one.text("name") or "",
            kind=one.text("kind") or "",
            scores={task: tuple(v.as_number() for v in scores.items()) for task, scores in one.at("scores").entries()},
            cost=_cost(one.at("cost")),
        )
        for one in node.at("variants").items()
    )
    gains = tuple(
        Gain(
            variant=one.text("variant") or "",
            task=one.text("task") or "",
            gain=one.number("gain"),
            low=one.number("low"),
            high=one.number("high"),
            per_seed=tuple(v.as_number() for v in one.at("per_seed").items()),
        )
        for one in node.at("gains").items()
    )
    return Comparison(
        seeds=node.texts("seeds"),
        tasks=tasks,
        variants=variants,
        gains=gains,
        delta_m={
            name: Interval(*(_share(one.number(key)) for key in ("value", "low", "high")))
            for name, one in node.at("delta_m").entries()
        },
        harmed={name: node.at("harmed").texts(name) for name, _ in node.at("harmed").entries()},
        worst={name: text for name, one in node.at("worst").entries() if (text := one.as_text()) is not None},
        verdict=node.text("verdict"),
        advice=node.text("advice"),
        outcome=node.text("outcome"),
        cosines=node.at("conflict").numbers("cosine"),
        norm_ratio=node.at("conflict").number("norm_ratio"),
        left_out={name: one.as_text() or "" for name, one in node.at("left_out").entries()},
        found={name: (_groups(one.at("groups")), one.number("seconds")) for name, one in node.at("found").entries()},
    )


def _affinity(node: Node) -> Affinity | None:
    if not node:
        return None
    _check_format(node)
    pairs = [
        Pair(one.text("first") or "", one.text("second") or "", cosine, one.number("error"))
        for one in node.at("pairs").items()
        if (cosine := one.number("cosine")) is not None
    ]
    check = node.at("check")
    return Affinity(
        at=node.at("settings").text("at"),
        looks=node.whole("looks"),
        pairs=tuple(pairs),
        groups=_groups(node.at("groups")),
        predicted=node.numbers("predicted"),
        gains={name: (one.number("together"), one.number("grouped")) for name, one in check.at("gains").entries()},
        split=check.text("split"),
        verdict=node.text("verdict"),
    )


def _groups(node: Node) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(text for one in group.items() if (text := one.as_text())) for group in node.items())


def _share(value: float | None) -> float | None:
    """Per cent, as the literature gives delta_m, as a share."""
    return None if value is None else value / 100.0
