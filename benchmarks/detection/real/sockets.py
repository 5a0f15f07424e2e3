"""The simulated users' way to a real port: the part of `simulation.network.Network` that they use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from llm_watchdog.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.fault_engine.exchange import Message


@dataclass(eq=False)
class Exchange:
    """One request and its answer."""

    response: httpx.Response
    body: AsyncIterator[bytes]
    headed: bool = False


class SocketNetwork:
    """A connection for each request, on loopback."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._transport = StreamTransport()
        self._closing: set[asyncio.Future[None]] = set()

    async def open(self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, own: bool) -> Exchange:
        """Returns with the head of the answer. Raises httpx.HTTPError."""
        del own
        request = httpx.Request(method, self._url + path, headers=dict(headers), content=body)
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return Exchange(response, aiter(response.stream))

    async def next(self, exchange: Exchange) -> Message:
        if not exchange.headed:
            exchange.headed = True
            return {"type": "http.response.start", "status": exchange.response.status_code}
        part = await anext(exchange.body, None)
        return {"type": "http.response.body", "body": part or b"", "more_body": part is not None}

    def close(self, exchange: Exchange) -> None:
        """Begun at once; nobody waits for it."""
        assert isinstance(exchange.response.stream, httpx.AsyncByteStream)
        closing = asyncio.ensure_future(exchange.response.stream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
