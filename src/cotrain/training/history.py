"""What happened, epoch by epoch: in memory, and as log.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotrain.core.state import plain, whole_file


@dataclass
class History:
    """records: one dict an epoch, the lines of log.jsonl. best_epoch: the epoch (from 1) whose weights were kept, None where nothing
    was there to choose by. stopped: why training ended. seconds, rows: of all training, resumed parts included. constant: {task:
    {metric: value}} of the best constant prediction on the validation rows. skipped: steps that changed nothing, since they were not
    finite. left_out: {task: steps that went on without it for that reason}. found: {"lr", "batch_size": what was found where
    the settings said "auto"}. notes: what a reader should know.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_score: float | None = None
    stopped: str | None = None
    seconds: float = 0.0
    rows: int = 0
    skipped: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    peak_memory_mib: float | None = None
    constant: dict[str, dict[str, float]] = field(default_factory=dict)
    found: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rows_per_second(self) -> float | None:
        """Training rows a second, validation time included."""
        return self.rows / self.seconds if self.seconds else None

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for key, value in state.items():
            setattr(self, key, value)


class Log:
    """log.jsonl in a folder: one line an epoch, brought back to what a checkpoint knows before training goes on."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / "log.jsonl"

    def restore(self, records: list[dict[str, Any]]) -> None:
        """Make the file hold exactly these lines: a half-written line or an epoch that will come again is gone."""
        if self.path is not None:
            with whole_file(self.path) as temporary:
                temporary.write_text("".join(_line(record) for record in records), encoding="utf-8")

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line."""
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(plain(record), ensure_ascii=False, allow_nan=False) + "\n"
