"""An httpx transport on asyncio's streams and h11: one connection per request, closed when its answer is.

httpx's own transport loads httpcore and anyio: 7 MiB of a watchdog that has 40, and twice the time of a call. Knows
nothing of whom it talks to.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import h11
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

READ_BYTES: Final = 65536
HTTPS_PORT: Final = 443
HTTP_PORT: Final = 80


class StreamTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1, with or without TLS."""

    def __init__(
        self,
        *,
        local_address: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        socket_options: Iterable[tuple[int, int, int]] = (),
    ) -> None:
        self._local = None if local_address is None else (local_address, 0)
        self._ssl = ssl_context
        self._socket_options = tuple(socket_options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and come back with the head of the answer."""
        timeouts = request.extensions.get("timeout", {})
        connection = _Connection(*await self._connect(request.url, timeouts.get("connect")), timeouts.get("read"))
        try:
            await connection.send(request, await request.aread())
            head = await connection.head()
        except BaseException:
            await connection.aclose()
            raise
        return httpx.Response(head.status_code, headers=list(head.headers), stream=connection)

    async def _connect(
        self, url: httpx.URL, seconds: float | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        is_tls = url.scheme == "https"
        port = url.port or (HTTPS_PORT if is_tls else HTTP_PORT)
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(
                    url.host, port, local_addr=self._local, ssl=self._ssl if is_tls else None
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {seconds} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        for option in self._socket_options:
            writer.get_extra_info("socket").setsockopt(*option)
        return reader, writer


class _Connection(httpx.AsyncByteStream):
    """One exchange. It is the body of its own answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float | None) -> None:
        self._reader = reader
        self._writer = writer
        self._seconds = seconds
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, request: httpx.Request, body: bytes) -> None:
        """The whole request."""
        headers = [*request.headers.raw, (b"Connection", b"close")]
        headers = [pair for pair in headers if pair != (b"Connection", b"keep-alive")]
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=headers)
            events = [head, *([h11.Data(data=body)] if body else []), h11.EndOfMessage()]
            self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
            await self._writer.drain()
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    async def head(self) -> h11.Response:
        """Status and headers."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return

    async def aclose(self) -> None:
        """At once: whoever still generates is to notice."""
        self._writer.transport.abort()
        await asyncio.sleep(0)  # the socket is closed in the next turn of the loop

    async def _next(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(self._seconds):
                    self._http.receive_data(await self._reader.read(READ_BYTES))
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"nothing came within {self._seconds} s") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        return event
