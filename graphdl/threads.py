"""Work for several threads, as NumPy and hashes do it without Python's lock."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def usable_cores() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def for_each(function: Callable[[T], object], items: Sequence[T]) -> None:
    """Call `function` for every item, on as many threads as there are cores. Raises one of the errors that it raised."""
    count = min(usable_cores(), len(items))
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for item in items[first::count]:
                function(item)
        except BaseException as error:  # raised again below
            errors.append(error)

    others = [threading.Thread(target=work, args=(k,)) for k in range(1, count)]
    for thread in others:
        thread.start()
    if items:
        work(0)
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
