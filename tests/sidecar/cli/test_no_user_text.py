"""Invariant 12, end to end: users' words are in flight while the engine hangs, and stand in nothing that is kept."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx

from tests.sidecar.cli.host import until

if TYPE_CHECKING:
    from tests.sidecar.cli.host import Host

MARKER = "captain"
USERS = 3


def _user(port: int, number: int) -> None:
    asked = {"prompt": f"Repeat exactly: {MARKER} {number} " * 20, "max_tokens": 400, "stream": True}
    with (
        suppress(httpx.HTTPError),
        httpx.stream(
            "POST",
            f"http://127.0.0.1:{port}/v1/completions",
            json={"model": "tiny", **asked},
            timeout=60,
            trust_env=False,
        ) as response,
    ):
        for _ in response.iter_bytes():
            pass


def test_a_hang_beside_users_is_recorded_without_a_word_of_theirs(serving: Host) -> None:
    watchdog = serving.run("--engine", "vllm", "--restart-command", serving.restart_command)
    until("in rotation", watchdog.serves)
    users = [threading.Thread(target=_user, args=(serving.port, number), daemon=True) for number in range(USERS)]
    for user in users:
        user.start()
    until("users in flight", lambda: (watchdog.status()["inFlight"] or 0) > 0)
    serving.hang()
    watchdog.told(phase="Closed", outcome="Recovered")
    kept = [*(path.read_text() for path in serving.journal.iterdir() if path.is_file()), watchdog.log]
    kept += [str(watchdog.lines), str(watchdog.status())]
    metrics = watchdog.get("/metrics")
    assert metrics is not None
    assert MARKER not in "\n".join([*kept, metrics.text])
    for user in users:
        user.join(timeout=60)
