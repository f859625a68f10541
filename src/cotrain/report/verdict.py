"""The headline of a run: one sentence, the tone it is said in, and the few figures that carry it."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from typing import Literal

from cotrain.report.run_folder import ComparedTask, Comparison, Gain, RunFolder, Variant
from cotrain.report.scores import TaskScore, error, task_scores
from cotrain.report.words import (
    MINUS,
    MISSING,
    THIN,
    count,
    duration,
    interval,
    listed,
    percent,
    plural,
    scaled,
    significant,
)

Tone = Literal["good", "bad", "mixed", "same", "unsure"]
SEEDS_NEEDED = 5
OUTCOMES: dict[str, tuple[Tone, str]] = {
    "helped": ("good", "Sharing helped"),
    "harmed": ("bad", "Sharing harmed"),
    "mixed": ("mixed", "Helped some, harmed some"),
    "same": ("same", "No clear difference"),
    "nothing_learnt": ("bad", "Nothing learnt that carries over"),
    "too_few_seeds": ("unsure", "Too few seeds for a verdict"),
}


@dataclass(frozen=True)
class Figure:
    """One number of the headline: what it is, its value, and a word on it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The headline: tone (colour and icon), two or three words, a sentence, a few figures, and what else was said, smaller; what to try."""

    tone: Tone
    words: str
    sentence: str
    figures: tuple[Figure, ...]
    detail: str = ""
    advice: str = ""


def judge(run: RunFolder) -> Verdict:
    """The verdict of the comparison, or without one what was learnt against the best constant prediction."""
    if run.comparison is not None:
        return _compared(run.comparison)
    return _trained(run)


def main_variant(comparison: Comparison) -> Variant | None:
    """The joint variant the verdict is about: the one it names, else the first."""
    joint = [variant for variant in comparison.variants if variant.kind == "joint"]
    named = [variant for variant in joint if comparison.verdict and variant.name in comparison.verdict]
    return max(named, key=lambda variant: len(variant.name)) if named else next(iter(joint), None)


def outcome_of(comparison: Comparison) -> str:
    """The outcome in one word of OUTCOMES: as written by the comparison, else drawn from the intervals of its gains.

    A task is helped where its whole interval lies above 0, harmed where it lies below; below five seeds nothing is said. Where neither
    joint nor single-task networks beat the best constant prediction on any task, nothing was learnt that carries over.
    """
    if comparison.outcome in OUTCOMES:
        return str(comparison.outcome)
    if len(comparison.seeds) < SEEDS_NEEDED:
        return "too_few_seeds"
    beaten = [_beaten(comparison, task) for task in comparison.tasks]
    if beaten and all(beaten):
        return "nothing_learnt"
    main = main_variant(comparison)
    gains = [gain for gain in comparison.gains if main is not None and gain.variant == main.name]
    helped = any(gain.low is not None and gain.low > 0 for gain in gains)
    harmed = any(is_harmed(comparison, gain) for gain in gains)
    return {(True, False): "helped", (False, True): "harmed", (True, True): "mixed"}.get((helped, harmed), "same")


def _beaten(comparison: Comparison, task: ComparedTask) -> bool:
    """Whether the best constant prediction is at least as good on this task as every network, on average over seeds."""
    main = main_variant(comparison)

    def mean_error(variant: Variant) -> float | None:
        found = [
            e for value in variant.scores.get(task.name, ()) if (e := error(value, task.higher_is_better)) is not None
        ]
        return statistics.fmean(found) if found else None

    constants = [e for one in comparison.variants if one.kind == "constant" and (e := mean_error(one)) is not None]
    networks = [
        e for one in comparison.variants if (one.kind == "single" or one == main) and (e := mean_error(one)) is not None
    ]
    return bool(constants and networks) and min(networks) >= constants[0]


def is_harmed(comparison: Comparison, gain: Gain) -> bool:
    """Whether the comparison counts this task as harmed; where it does not say, whether the interval lies below 0."""
    if gain.variant in comparison.harmed:
        return gain.task in comparison.harmed[gain.variant]
    return gain.high is not None and gain.high < 0


def _compared(comparison: Comparison) -> Verdict:
    main = main_variant(comparison)
    tone, words = OUTCOMES[outcome_of(comparison)]
    single = next((variant for variant in comparison.variants if variant.kind == "single"), None)
    figures = []
    sentence = comparison.verdict
    if main is not None:
        gains = [gain for gain in comparison.gains if gain.variant == main.name]
        known = [gain for gain in gains if gain.gain is not None]
        values = [gain.gain for gain in known if gain.gain is not None]
        if values:
            figures.append(Figure("Mean gain", percent(sum(values) / len(values)), "over single-task"))
        if main.name in comparison.delta_m:
            delta = comparison.delta_m[main.name]
            figures.append(Figure("Δm", percent(delta.value), f"{interval(delta.low, delta.high)} over seeds"))
        if known:
            worst_name = comparison.worst.get(main.name)
            worst = next((gain for gain in known if gain.task == worst_name), None)
            worst = worst or min(known, key=lambda gain: gain.gain or 0.0)
            figures.append(Figure("Worst task", percent(worst.gain), worst.task))
            harmed = [gain.task for gain in gains if is_harmed(comparison, gain)]
            figures.append(Figure("Tasks harmed", f"{len(harmed)} of {len(gains)}", listed(harmed, limit=2)))
        if single is not None and main.cost.seconds and single.cost.seconds:
            share = main.cost.seconds / single.cost.seconds
            figures.append(Figure("Training time", f"{significant(share, digits=2)} ×", "of the single-task networks"))
    if not sentence:
        sentence = f"{main.name if main else 'Joint training'} against single-task over {plural(len(comparison.seeds), 'seed')}."
    sentence, detail = _parted(typeset(sentence), "" if main is None else main.name)
    return Verdict(tone, words, sentence, tuple(figures), detail, comparison.advice or "")


def typeset(sentence: str) -> str:
    """Plain words with a true minus and per cent signs that stay at their number.

    >>> typeset("from -3.1 % to +2 %, single-task").replace(THIN, "_")
    'from −3.1_% to +2_%, single-task'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", MINUS, sentence).replace(" %", f"{THIN}%")


def _parted(sentence: str, variant: str) -> tuple[str, str]:
    """A verdict in its claim and, after a colon, the numbers it rests on; the claim alone is the headline."""
    claim, colon, numbers = sentence.partition(f": {variant}")
    if not variant or not colon or len(numbers) < 40:
        return sentence, ""
    return claim + ".", (variant + numbers)[0].upper() + (variant + numbers)[1:]


def _trained(run: RunFolder) -> Verdict:
    scores = task_scores(run)
    judged = [score for score in scores if score.improvement is not None]
    figures = tuple(_run_figures(run, judged))
    number = len(run.tasks)
    rows = f" from {count(run.data.rows)} rows" if run.data is not None and run.data.rows is not None else ""
    what = f"{plural(number, 'task')} learnt {'together' if number > 1 else 'on its own'}{rows}" if number else "A run"
    if not judged:
        why = "not scored against a constant prediction yet" if run.metrics else "not evaluated yet"
        return Verdict("unsure", "No comparison yet", f"{what}; {why}.", figures)
    better = [score for score in judged if (score.improvement or 0.0) > 0]
    worse = [score.task for score in judged if (score.improvement or 0.0) <= 0]
    values = [score.improvement or 0.0 for score in judged]
    mean = percent(sum(values) / len(values), decimals=0, signed=False)
    if not better:
        them = "the task" if len(judged) == 1 else f"none of the {len(judged)} tasks"
        verb = "does not beat" if len(judged) == 1 else "beats"
        return Verdict(
            "bad", "Nothing learnt", f"{what}; on the test split {them} {verb} the best constant prediction.", figures
        )
    if worse:
        return Verdict(
            "mixed",
            "Learnt in part",
            f"{what}; on the test split {len(better)} of {len(judged)} beat the best constant prediction, "
            f"{listed(worse, limit=3)} {'does' if len(worse) == 1 else 'do'} not.",
            figures,
        )
    lead = "it beats" if len(judged) == 1 else f"all {len(judged)} beat" if len(judged) > 2 else "both beat"
    share = f"by {mean} of its error" if len(judged) == 1 else f"by {mean} of its error on average"
    return Verdict(
        "good", "Learnt", f"{what}; on the test split {lead} the best constant prediction, {share}.", figures
    )


def _run_figures(run: RunFolder, judged: list[TaskScore]) -> list[Figure]:
    figures = []
    if judged:
        best = max(judged, key=lambda score: score.improvement or 0.0)
        worst = min(judged, key=lambda score: score.improvement or 0.0)
        figures.append(Figure("Best task", percent(best.improvement), best.task))
        if worst is not best:
            figures.append(Figure("Weakest task", percent(worst.improvement), worst.task))
    if run.epochs:
        kept = run.metrics.best_epoch if run.metrics is not None else None
        note = f"kept: epoch {kept:g}" if kept is not None else ""
        figures.append(Figure("Epochs", count(len(run.epochs)), note))
    parameters = run.structure.parameters if run.structure is not None else None
    if parameters is None and run.metrics is not None and run.metrics.cost.parameters is not None:
        parameters = int(run.metrics.cost.parameters)
    if parameters is not None:
        figures.append(Figure("Parameters", scaled(parameters)))
    seconds = run.metrics.cost.seconds if run.metrics is not None else None
    if seconds is not None:
        figures.append(Figure("Training time", duration(seconds)))
    return [figure for figure in figures if figure.value != MISSING]
