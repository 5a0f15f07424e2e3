"""SIGKILL before or after each write of a watchdog, once each: to its journal, to the API, of its order.

A write is known by what it says, so that what a life says again does not end it again, and so that the writes of two
runs of the same story can be compared.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from threading import Lock
from typing import TYPE_CHECKING, Any

import httpx

from llm_watchdog.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llm_watchdog.core.replica import Replica


class Deaths:
    """The file outlives the process. `dies`: `before`, `after` or `never`."""

    def __init__(self, file: Path, dies: str) -> None:
        self.alone = Lock()
        """Held over each write: a death for one must not hide that another was done."""
        self._file = file
        self._dies = dies
        self._known = set(file.read_text().splitlines() if file.exists() else ())

    def before(self, what: str) -> None:
        if self._dies != "after":
            self._reach(what)

    def after(self, what: str) -> None:
        if self._dies == "after":
            self._reach(what)

    def _reach(self, what: str) -> None:
        if what in self._known:
            return
        self._known.add(what)
        with self._file.open("a") as file:
            file.write(f"{what}\n")
        if self._dies != "never":
            os.kill(os.getpid(), signal.SIGKILL)

    def leaving(self, leave: Callable[[int], None]) -> Callable[[int], None]:
        """The order is on the disk."""

        def left(code: int) -> None:
            self.before("handing over of the order")
            leave(code)

        return left


class MortalJournal(Journal):
    def __init__(self, directory: Path, deaths: Deaths) -> None:
        super().__init__(directory)
        self._deaths = deaths

    def write(self, replica: Replica) -> bool:
        cases = [f"{case.stage} {_steps(case.status.steps)}" for case in replica.cases]
        what = f"journal: {', '.join(cases) or 'nothing is wrong'}"
        with self._deaths.alone:
            self._deaths.before(what)
            written = super().write(replica)
            self._deaths.after(what)
        return written


class MortalTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, deaths: Deaths) -> None:
        self._inner = inner
        self._deaths = deaths

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await self._inner.handle_async_request(request)
        what = f"API: {_told(request, json.loads(await request.aread()))}"
        await asyncio.to_thread(self._deaths.alone.acquire)
        try:
            self._deaths.before(what)
            response = await self._inner.handle_async_request(request)
            self._deaths.after(what)
        finally:
            self._deaths.alone.release()
        return response


def _told(request: httpx.Request, body: dict[str, Any]) -> str:
    if request.method == "POST":
        name = body["metadata"]["name"].rpartition(".")[2] if body["kind"] == "Event" else ""
        return f"create {body['kind']} {name}".strip()
    status = body["status"]
    if "conditions" in status:
        (gate,) = status["conditions"]
        return f"gate {gate['status']} {gate['reason']}"
    claim = " as a claim" if "resourceVersion" in body["metadata"] else ""
    return f"status {status['phase']} {_steps(status.get('steps', ()))}{claim}"


def _steps(steps: Sequence[Any]) -> str:
    """Of the record or of its document."""
    told = [step if isinstance(step, dict) else {"step": step.step, "outcome": step.outcome} for step in steps]
    return str([f"{step['step']} {step.get('outcome') or 'begun'}" for step in told])
