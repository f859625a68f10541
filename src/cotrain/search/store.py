"""Where the trials of a study live, so that many processes and machines can share them.

Two small tables rather than Optuna's storages: these number a trial when it begins, so that a dead worker's trial becomes another one and the
count of finished trials is only about right, and they keep the state of CMA-ES as pickles. Here a study has the numbers 0 ... N - 1 and
no others. A worker takes a number for a lease that it renews while it works; a number whose lease ran out is given to the next
worker, with the same parameters, and each time the number is given its `attempt` grows by one. Only the worker and attempt that hold the
number can finish it, so that no trial is finished twice, whatever worker comes back from the dead. What is told is on disk before the
answer comes; taking a number is not waited for, as a server that lost it would only give the number out once more.

Each change takes the study's clock one step on and holds it until the transaction ends, so that whoever read up to one step misses nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cotrain.core.errors import ConfigError, CotrainError, StudyError
from cotrain.search.database import Database, Statement, connect
from cotrain.search.trial import Trial

FORMAT = 1

TABLES = (
    "CREATE TABLE IF NOT EXISTS cotrain_studies (name TEXT PRIMARY KEY, format INTEGER NOT NULL, definition TEXT NOT NULL, "
    "wanted INTEGER NOT NULL, clock BIGINT NOT NULL, begun DOUBLE PRECISION NOT NULL)",
    "CREATE TABLE IF NOT EXISTS cotrain_trials (study TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, "
    "attempt INTEGER NOT NULL, worker TEXT NOT NULL, lease DOUBLE PRECISION NOT NULL, changed BIGINT NOT NULL, "
    "body TEXT NOT NULL, PRIMARY KEY (study, number))",
)

CLOCK = "(SELECT clock FROM cotrain_studies WHERE name = study)"


class Store:
    """The trials of one study at one place. May be used from several threads.

    place: see `cotrain.search.database.connect`. name: the study's; one database holds many. definition: plain values that say what is
    searched and how; a study that is there already must have the same. wanted: how many trials. first: parameters of trials 0, 1, ..., asked
    for in the transaction that makes the study, so that they are there once, however many workers begin it. lease: seconds a number stays with a
    worker that does not renew it. attempts: how often a number is begun before it counts as failed (a trial that takes its worker down
    with it must not take all).
    """

    def __init__(
        self,
        place: str,
        name: str,
        definition: Mapping[str, Any],
        wanted: int,
        *,
        first: Sequence[Mapping[str, Any]] = (),
        lease: float = 60.0,
        attempts: int = 3,
    ) -> None:
        self.name, self.lease, self.attempts = name, lease, attempts
        self._database: Database = connect(place)
        self._finished: dict[int, Trial] = {}
        self._seen = 0
        self._lock = threading.Lock()
        try:
            self._begin(definition, wanted, first)
        except CotrainError:
            self._database.close()
            raise

    def _begin(self, definition: Mapping[str, Any], wanted: int, first: Sequence[Mapping[str, Any]]) -> None:
        text = json.dumps(definition, sort_keys=True)
        insert = (
            f"INSERT INTO cotrain_studies VALUES (?, ?, ?, ?, 0, {self._database.now}) ON CONFLICT (name) DO NOTHING"
        )
        guess = (
            "INSERT INTO cotrain_trials SELECT name, ?, 'waiting', 0, '', 0.0, clock, ? FROM cotrain_studies "
            "WHERE name = ? AND definition = ? ON CONFLICT (study, number) DO NOTHING"
        )
        self._database.batch(*self._database.prepare, *((sql, ()) for sql in TABLES), durable=True)
        *_, found = self._database.batch(
            (insert, (self.name, FORMAT, text, wanted)),
            *(
                (guess, (number, _body(Trial(number=0, parameters=one)), self.name, text))
                for number, one in enumerate(first)
            ),
            ("SELECT format, definition FROM cotrain_studies WHERE name = ?", (self.name,)),
            durable=True,
        )
        version, stored = found[0]
        if version != FORMAT:
            raise StudyError(
                f"study '{self.name}' was written in format {version}, and this version of cotrain reads {FORMAT}"
            )
        refuse_other(self.name, json.loads(stored), json.loads(text))
        self._database.batch(
            ("UPDATE cotrain_studies SET wanted = ? WHERE name = ?", (wanted, self.name)), durable=True
        )

    # ------------------------------------------------------------------------------------------------------- taking numbers

    def claim(self, worker: str) -> Trial | None:
        """A number for this worker: one whose worker died, else one that waits, else a new one; None where there is nothing to begin.

        The trial has a seed if an attempt before it went as far as to have its parameters.
        """
        now, of = self._database.now, "study = ? AND number < (SELECT wanted FROM cotrain_studies WHERE name = study)"
        dead = f"state = 'running' AND lease < {now}"
        first = f"(SELECT number FROM cotrain_trials WHERE {of} AND (state = 'waiting' OR ({dead})) ORDER BY state, number LIMIT 1)"
        count = "SELECT count(*) FROM cotrain_trials WHERE study = name"
        _, _, again, new = self._database.batch(
            self._tick(),
            (
                f"UPDATE cotrain_trials SET state = 'failed', changed = {CLOCK} WHERE {of} AND {dead} AND attempt >= ?",
                (self.name, self.attempts),
            ),
            (
                f"UPDATE cotrain_trials SET state = 'running', attempt = attempt + 1, worker = ?, lease = {now} + ?, "
                f"changed = {CLOCK} WHERE study = ? AND number = {first} RETURNING number, attempt, body",
                (worker, self.lease, self.name, self.name),
            ),
            (
                f"INSERT INTO cotrain_trials SELECT name, ({count}), 'running', 1, ?, {now} + ?, clock, ? "
                f"FROM cotrain_studies WHERE name = ? AND ({count}) < wanted "
                "AND NOT EXISTS (SELECT 1 FROM cotrain_trials WHERE study = name AND changed = clock AND state = 'running') "
                "RETURNING number, attempt, body",
                (worker, self.lease, _body(Trial(number=0)), self.name),
            ),
        )
        if not again and not new:
            return None
        number, attempt, body = (again or new)[0]
        return replace(_trial(number, "running", attempt, worker, body), intermediate={})

    def add(self, parameters: Mapping[str, Any]) -> int:
        """Ask for a trial of these parameters; it has the next number."""
        count = "SELECT count(*) FROM cotrain_trials WHERE study = name"
        _, rows = self._database.batch(
            self._tick(),
            (
                f"INSERT INTO cotrain_trials SELECT name, ({count}), 'waiting', 0, '', 0.0, clock, ? "
                "FROM cotrain_studies WHERE name = ? RETURNING number",
                (_body(Trial(number=0, parameters=parameters)), self.name),
            ),
            durable=True,
        )
        return int(rows[0][0])

    # --------------------------------------------------------------------------------------------------- while a number is held

    def write(self, trial: Trial) -> bool:
        """Write a trial that this worker holds, running (its lease begins anew) or finished. False: the number was given to another."""
        length, body = 0.0 if trial.finished else self.lease, _body(trial)
        _, held, known = self._database.batch(
            self._tick(),
            (
                f"UPDATE cotrain_trials SET state = ?, lease = {self._database.now} + ?, changed = {CLOCK}, body = ? "
                "WHERE study = ? AND number = ? AND attempt = ? AND worker = ? AND state = 'running' RETURNING number",
                (trial.state, length, body, self.name, trial.number, trial.attempt, trial.worker),
            ),
            (
                "SELECT body FROM cotrain_trials WHERE study = ? AND number = ? AND attempt = ? AND worker = ?",
                (self.name, trial.number, trial.attempt, trial.worker),
            ),
            durable=trial.finished,
        )
        # one that was written before, and whose answer was lost on its way, has the same body
        return bool(held) or bool(known and known[0][0] == body)

    def renew(self, trial: Trial) -> bool:
        """Hold the number for another lease. False: it was given to another worker."""
        (rows,) = self._database.batch(
            (
                f"UPDATE cotrain_trials SET lease = {self._database.now} + ? "
                "WHERE study = ? AND number = ? AND attempt = ? AND worker = ? AND state = 'running' RETURNING number",
                (self.lease, self.name, trial.number, trial.attempt, trial.worker),
            )
        )
        return bool(rows)

    def give_back(self, trial: Trial) -> None:
        """Let the next worker begin the number at once; this attempt does not count."""
        self._database.batch(
            self._tick(),
            (
                f"UPDATE cotrain_trials SET state = 'waiting', attempt = attempt - 1, changed = {CLOCK} "
                "WHERE study = ? AND number = ? AND attempt = ? AND worker = ? AND state = 'running'",
                (self.name, trial.number, trial.attempt, trial.worker),
            ),
        )

    # ------------------------------------------------------------------------------------------------------------- reading

    def trials(self) -> tuple[Trial, ...]:
        """All trials by number. Finished ones are read once and are the same objects from then on."""
        with self._lock:
            (rows,) = self._database.batch(
                (
                    "SELECT number, state, attempt, worker, body, changed FROM cotrain_trials WHERE study = ? AND "
                    "(changed > ? OR state IN ('running', 'waiting'))",
                    (self.name, self._seen),
                )
            )
            others = []
            for *row, changed in rows:
                self._seen = max(self._seen, changed)
                trial = _trial(*row)
                if trial.finished:
                    self._finished[trial.number] = trial
                else:
                    others.append(trial)
            return tuple(sorted([*self._finished.values(), *others], key=lambda trial: trial.number))

    def left(self) -> int:
        """How many of the wanted trials are not finished."""
        (rows,) = self._database.batch(
            (
                "SELECT wanted - (SELECT count(*) FROM cotrain_trials WHERE study = name AND number < wanted "
                "AND state NOT IN ('waiting', 'running')) FROM cotrain_studies WHERE name = ?",
                (self.name,),
            )
        )
        return int(rows[0][0])

    def age(self) -> float:
        """Seconds since the study was begun, by the database's clock."""
        (rows,) = self._database.batch(
            (f"SELECT {self._database.now} - begun FROM cotrain_studies WHERE name = ?", (self.name,))
        )
        return float(rows[0][0])

    def close(self) -> None:
        """Give the connection of this thread back."""
        self._database.close()

    def _tick(self) -> Statement:
        """The clock's next step; the study is this transaction's until it ends."""
        return "UPDATE cotrain_studies SET clock = clock + 1 WHERE name = ?", (self.name,)


def _body(trial: Trial) -> str:
    """What of a trial has no column of its own."""
    plain = trial.to_json()
    for column in ("number", "state", "attempt", "worker"):
        del plain[column]
    return json.dumps(plain)


def _trial(number: int, state: str, attempt: int, worker: str, body: str) -> Trial:
    plain = json.loads(body)
    if state == "failed" and plain["error"] is None:
        plain["error"] = f"its worker died {attempt} times; it is not begun again"
    return Trial.from_json({"number": number, "state": state, "attempt": attempt, "worker": worker, **plain})


def refuse_other(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raises ConfigError if a study that is there was begun for something else, saying for what."""
    differ = [key for key in sorted({*stored, *asked}) if stored.get(key) != asked.get(key)]
    if differ:
        first = differ[0]
        values = f" ({first} {_short(stored.get(first))}, now {_short(asked.get(first))})"
        raise ConfigError(
            f"study '{name}' is there already and was begun with another {', '.join(differ)}{'' if first == 'config' else values}; "
            "give this study a name of its own, or go on with the config it was begun with"
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
