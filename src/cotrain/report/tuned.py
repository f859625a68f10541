"""What `cotrain tune` tried, read from tune.json: trials with their values, the front, the pick, which settings mattered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cotrain.report.lookup import Json, Node
from cotrain.report.tables import Cell, Head, Table, table
from cotrain.report.words import duration, fixed, plural, significant


@dataclass(frozen=True)
class Tried:
    """One trial. values: {name: number}, empty where it came to nothing; best: the intermediate value it ended with where it was pruned."""

    number: int
    state: str
    parameters: Mapping[str, Json]
    values: Mapping[str, float]
    ended: float | None


@dataclass(frozen=True)
class Aim:
    """One objective: its name, and whether more is better."""

    name: str
    maximize: bool


@dataclass(frozen=True)
class Tuned:
    """A whole search."""

    sampler: str
    aims: tuple[Aim, ...]
    trials: tuple[Tried, ...]
    front: tuple[int, ...]
    picked: int | None
    rule: str
    importance: Mapping[str, Mapping[str, float | None]]
    spent: float | None
    wanted: int | None
    default: int | None

    @property
    def complete(self) -> tuple[Tried, ...]:
        """The trials that have all objectives."""
        return tuple(one for one in self.trials if all(aim.name in one.values for aim in self.aims))

    @property
    def lead(self) -> str:
        """What was done, in two sentences."""
        pruned = sum(one.state == "pruned" for one in self.trials)
        failed = sum(one.state == "failed" for one in self.trials)
        words = f"{plural(len(self.trials), 'trial')} by {self.sampler}"
        words += f" in {duration(self.spent)}" if self.spent is not None else ""
        words += f", {pruned} of them ended early" if pruned else ""
        words += f", {failed} failed" if failed else ""
        pick = f" Trial {self.picked} was picked ({self.rule})." if self.picked is not None else ""
        return f"{words}. Trials are judged by the validation rows alone; the winner was then trained again.{pick}"


def read_tuned(node: Node) -> Tuned | None:
    """The content of tune.json."""
    if not node:
        return None
    problem, budget = node.at("problem"), node.at("budget")
    trials = []
    for one in node.at("trials").items():
        steps = {float(step): value.as_number() for step, value in one.at("intermediate").entries() if _is_number(step)}
        parameters = one.at("parameters").value
        trials.append(
            Tried(
                number=one.whole("number") or 0,
                state=one.text("state") or "",
                parameters=parameters if isinstance(parameters, dict) else {},
                values={name: value for name, value in one.numbers("values").items() if value is not None},
                ended=steps[max(steps)] if steps else None,
            )
        )
    return Tuned(
        sampler=node.text("sampler") or "",
        aims=tuple(Aim(one.text("name") or "", bool(one.flag("maximize"))) for one in problem.at("objectives").items()),
        trials=tuple(trials),
        front=tuple(int(number) for one in node.at("front").items() if (number := one.as_number()) is not None),
        picked=node.whole("picked"),
        rule=node.text("rule") or "",
        importance={name: node.at("importance").numbers(name) for name, _ in node.at("importance").entries()},
        spent=budget.number("spent"),
        wanted=budget.whole("trials"),
        default=node.whole("default"),
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def tuned_table(tuned: Tuned, *, most: int = 6) -> Table | None:
    """The front where there is one, else the best trials, with their settings."""
    if not tuned.complete or not tuned.aims:
        return None
    first = tuned.aims[0]
    ranked = sorted(
        tuned.complete, key=lambda one: -one.values[first.name] if first.maximize else one.values[first.name]
    )
    several = len(tuned.aims) > 1
    shown = [one for one in ranked if one.number in tuned.front] if several else ranked
    shown = shown[:most]
    begun = [one for one in ranked if one.number == tuned.default and one not in shown]
    heads = [Head("Trial", "number"), *(Head(aim.name, "number") for aim in tuned.aims), Head("Settings", "text")]
    rows = [
        [
            Cell(str(one.number), _what(tuned, one.number), "strong" if one.number == tuned.picked else ""),
            *(Cell(significant(one.values[aim.name])) for aim in tuned.aims),
            Cell(", ".join(f"{name} {_value(value)}" for name, value in one.parameters.items())),
        ]
        for one in (*shown, *begun)
    ]
    what = "The front: no trial beats these in everything" if several else "The best trials"
    return table(what, heads, rows)


def _what(tuned: Tuned, number: int) -> str:
    words = ["picked"] if number == tuned.picked else []
    words += ["where it began"] if number == tuned.default else []
    return ", ".join(words)


def _value(value: Json) -> str:
    return significant(value) if isinstance(value, float) else str(value)


def importance_table(tuned: Tuned) -> Table | None:
    """How much of each objective's variance each setting explains."""
    names = [aim.name for aim in tuned.aims if tuned.importance.get(aim.name)]
    settings = list(dict.fromkeys(setting for name in names for setting in tuned.importance[name]))
    if not settings:
        return None
    settings.sort(key=lambda setting: -max(tuned.importance[name].get(setting) or 0.0 for name in names))
    rows: list[list[Cell | str]] = [
        [setting, *(fixed(tuned.importance[name].get(setting), 2) for name in names)] for setting in settings
    ]
    heads = [Head("Setting", "name"), *(Head(name, "number") for name in names)]
    return table("Which settings mattered: share of the variance each explains (fANOVA)", heads, rows)
