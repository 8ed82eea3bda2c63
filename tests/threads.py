"""Acts of several people at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Do all at the same moment, each in a thread of its own; their results in order. What one raises, this raises."""
    gate = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)
    raised: list[BaseException] = []

    def run(place: int, act: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[place] = act()
        except BaseException as error:  # handed to the thread that asked
            raised.append(error)

    threads = [threading.Thread(target=run, args=(n, act)) for n, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
    return results
