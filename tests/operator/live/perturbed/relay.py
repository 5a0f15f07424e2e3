"""A relay between the programs and the API server, which does to their exchanges what a perturbation says.

Plain HTTP towards the programs, one port for each, so that it knows who asks; TLS and the programs' own tokens towards
the API server.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from tests.operator.live.perturbed.calls import Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from pathlib import Path

    Send = Callable[[], Awaitable["Answer"]]

PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
LINE_MAX_BYTES = 4_000_000
STARTS_WITHIN_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Of one exchange that is no watch."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class CutError(Exception):
    """The connection is to end here, in the middle of whatever it carries."""


class Perturbation(Protocol):
    async def exchange(self, call: Call, send: Send) -> Answer:
        """Whether it is sent on, and what comes back. Raises CutError."""

    def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What arrives of a watch. Raises CutError."""


class Undisturbed:
    """Everything arrives, at once and as it is."""

    async def exchange(self, call: Call, send: Send) -> Answer:  # noqa: ARG002 - the rows need it
        return await send()

    async def events(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:  # noqa: ARG002
        async for line in lines:
            yield line


class Relay:
    """In a thread of its own, with a loop of its own. `perturbation` may be exchanged at any time."""

    def __init__(self, server: str, authority: Path) -> None:
        self.perturbation: Perturbation = Undisturbed()
        self.failures: list[str] = []
        """Of the relay itself: a test with any has shown nothing."""
        self._server = server
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._callers: dict[int, str] = {}
        self._client, self._runner = self._do(self._start())

    def address(self, who: str) -> str:
        """Where this caller finds the API server from now on."""
        port = self._do(self._listen())
        self._callers[port] = who
        return f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STARTS_WITHIN_SECONDS)

    async def _start(self) -> tuple[aiohttp.ClientSession, web.ServerRunner]:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        client = aiohttp.ClientSession(
            connector=connector, read_bufsize=LINE_MAX_BYTES, timeout=aiohttp.ClientTimeout()
        )
        # A watch whose reader is gone is to end here, too.
        runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True, access_log=None))
        await runner.setup()
        return client, runner

    async def _listen(self) -> int:
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport
        port = request.transport.get_extra_info("sockname")[1]
        call = Call(
            who=self._callers[port], method=request.method, path=request.path, query=dict(request.query.items())
        )
        try:
            if call.watches:
                return await self._watch(call, request)
            return await self._exchange(call, request)
        except (CutError, ConnectionError, aiohttp.ClientConnectionError):
            request.transport.abort()
        except Exception as error:
            self.failures.append(f"{call.kind}: {error!r}")
            raise
        return web.Response(status=502)

    def _send(self, request: web.BaseRequest, body: bytes) -> Any:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        url = URL(self._server + request.raw_path, encoded=True)
        return self._client.request(request.method, url, data=body or None, headers=headers)

    async def _exchange(self, call: Call, request: web.BaseRequest) -> web.Response:
        body = await request.read()

        async def send() -> Answer:
            async with self._send(request, body) as response:
                kept = ((name, response.headers[name]) for name in ("Content-Type",) if name in response.headers)
                return Answer(status=response.status, body=await response.read(), headers=tuple(kept))

        perturbation: Perturbation = Undisturbed() if call.elects else self.perturbation
        answer = await perturbation.exchange(call, send)
        return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))

    async def _watch(self, call: Call, request: web.BaseRequest) -> web.StreamResponse:
        """Refused like any other, or told line by line."""
        async with self._send(request, b"") as upstream:

            async def opened() -> Answer:
                return Answer(status=upstream.status, body=b"")

            answer = await self.perturbation.exchange(call, opened)
            if answer.status != web.HTTPOk.status_code:
                body = answer.body or await upstream.read()
                return web.Response(status=answer.status, body=body, headers=dict(answer.headers))
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            async for line in self.perturbation.events(call, aiter(upstream.content)):
                await response.write(line)
            await response.write_eof()
            return response
