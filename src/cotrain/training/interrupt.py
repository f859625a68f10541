"""Ctrl-C becomes a request that the loop answers between two steps, where everything can be saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Training was interrupted after everything was saved; `folder` is where (None where there is no folder), `step` how far it came."""

    def __init__(self, folder: str | None, epoch: int, step: int) -> None:
        where = (
            f"saved in {folder}; resume with the same settings and resume=True"
            if folder
            else "nothing was saved: no folder was given"
        )
        super().__init__(f"training interrupted in epoch {epoch}, after {step} steps; {where}")
        self.folder, self.epoch, self.step = folder, epoch, step


class Interruption:
    """Inside the block, `asked` turns True at the first Ctrl-C; a second one interrupts at once. Only the main thread can do this.

    listen: False leaves Ctrl-C as it is (several processes could not all stop at the same step).
    """

    def __init__(self, *, listen: bool = True) -> None:
        self.asked, self.listen = False, listen
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        ):
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
