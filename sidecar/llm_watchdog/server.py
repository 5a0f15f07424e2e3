"""The watchdog's own endpoints: `/livez`, `/readyz`, `/metrics`, `/status`, `/drain`. Plain ASGI, no framework."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from llm_watchdog.api.document import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from llm_watchdog.actions.drain import Drain
    from llm_watchdog.loop import Loop

    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Receive = Callable[[], Awaitable[dict[str, Any]]]

STALLED_SECONDS: Final = 30.0
"""No pass for this long: the loop makes no progress. Doubt answers OK, so it is generous."""

DATE_SECONDS: Final = 1.0

Answer = tuple[int, str, bytes]
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """Plain ASGI around one question: what to answer on a path."""

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        del receive
        status, kind, body = await self.answer(scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, path: str) -> Answer:
        """Status, content type and body."""
        raise NotImplementedError


class Application(Pages):
    """Answers from what the loop holds."""

    def __init__(
        self,
        loop: Loop,
        drain: Drain,
        *,
        metrics: Callable[[], bytes],
        facts: Callable[[], dict[str, Any]],
        clock: Callable[[], float],
        drain_timeout: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._drain = drain
        self._metrics = metrics
        self._facts = facts
        self._clock = clock
        self._drain_timeout = drain_timeout

    async def answer(self, path: str) -> Answer:
        """From what the loop holds."""
        match path:
            case "/livez":
                return self._livez()
            case "/readyz":
                return self._readyz()
            case "/metrics":
                return 200, METRICS, self._metrics()
            case "/status":
                return 200, JSON, (json.dumps(self.status(), indent=2) + "\n").encode()
            case "/drain":
                return 200, TEXT, (await self._drain.wait(self._drain_timeout()) + "\n").encode()
            case _:
                return 404, TEXT, b"there is /livez, /readyz, /metrics, /status and /drain\n"

    def _livez(self) -> Answer:
        age = self._clock() - self._loop.passed_at
        return (200 if age < STALLED_SECONDS else 503), TEXT, f"last pass {age:.1f} s ago\n".encode()

    def _readyz(self) -> Answer:
        last = self._loop.last
        if last is None:
            return 503, TEXT, b"Starting: no pass yet\n"
        rotation = last.advised
        return (200 if rotation.in_rotation else 503), TEXT, f"{rotation.reason}: {rotation.message}\n".encode()

    def status(self) -> dict[str, Any]:
        """For people and the command line."""
        loop = self._loop
        return {
            "verdict": None if loop.verdict is None else encode(loop.verdict),
            "paused": loop.replica.modes.pause if loop.replica.modes else "",
            "rotation": None if loop.last is None else encode(loop.last.rotation),
            "advisedRotation": None if loop.last is None else encode(loop.last.advised),
            "engine": encode(loop.engine),
            "inFlight": loop.in_flight,
            "draining": self._drain.active,
            "replica": encode(loop.replica),
            **self._facts(),
        }


class Server(uvicorn.Server):
    """Leaves signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Not ours."""
        yield

    async def main_loop(self) -> None:
        """Uvicorn looks ten times a second whether it is to end, which is a third of an idle watchdog's wakes.

        Ours ends with its task; what is left is the `date` header, once a second.
        """
        while True:
            if await self.on_tick(0):
                return
            await asyncio.sleep(DATE_SECONDS)


def server(application: Pages, port: int | None = None) -> Server:
    """On all addresses of the pod: the kubelet calls the pod's own one. Either address family.

    Without a port `serve` has to be given sockets.
    """
    config = uvicorn.Config(
        application,
        host="",
        port=port or 0,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config)
