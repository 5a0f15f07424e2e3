"""A good load: clients that each send one stream after another, and look whether they got what they asked for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS: Final = 0.2


def good_load(one: Callable[[], bool], *, clients: int, seconds: float, stop: threading.Event | None = None) -> int:
    """How many streams were sent. Raises AssertionError at the first that is not as it should be."""
    over = time.monotonic() + seconds
    ended = stop or threading.Event()

    def client(_: int) -> int:
        sent = 0
        while time.monotonic() < over and not ended.is_set():
            assert one(), f"stream {sent} of a client was not whole"
            sent += 1
            ended.wait(PAUSE_SECONDS)
        return sent

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients)))
