"""Items prepared by a thread beside the loop, in the same order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """The same items in the same order, up to `depth` of them prepared beforehand; an error is raised where it would have been.

    >>> list(ahead(iter("abc"), 2))
    ['a', 'b', 'c']
    """
    ready: queue.Queue[tuple[Item | None, BaseException | None, bool]] = queue.Queue(depth)
    leave = threading.Event()

    def hand_over(entry: tuple[Item | None, BaseException | None, bool]) -> bool:
        while not leave.is_set():
            try:
                ready.put(entry, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not hand_over((item, None, False)):
                    return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again in the loop's thread
            hand_over((None, error, True))
        else:
            hand_over((None, None, True))

    thread = threading.Thread(target=work, name="cotrain-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, end = ready.get()
            if error is not None:
                raise error
            if end:
                return
            yield item  # type: ignore[misc]
    finally:
        leave.set()
        thread.join()
