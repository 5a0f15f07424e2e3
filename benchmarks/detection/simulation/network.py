"""Connections to one port, in memory: requests and answers as bytes move, and who has sent how many, as the kernel
would tell it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx

from llm_watchdog.core.observations import SocketSample, SocketsObservation
from llm_watchdog.probes.engine_client import OWN_ADDRESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from e2e.fault_engine.exchange import Message, Receive, Send

ROUND_TRIP_SECONDS: Final = 0.0005
USER_ADDRESS: Final = "10.0.0.9"
HEAD_BYTES: Final = 40
"""Status line, date and server, which uvicorn adds to an answer."""
CHUNK_BYTES: Final = 7
"""Length and line ends around a chunk."""


class Listener(Protocol):
    """Who serves the port."""

    inode: int
    """0: nobody listens."""
    awake: asyncio.Event
    """Not set: its event loop stands still; connections open, and nothing is read or written."""

    def serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """One request, as an ASGI application."""


class News:
    """What has come for one reader: a queue, as `asyncio.Queue` without what only several readers or a bound need."""

    def __init__(self) -> None:
        self._come: deque[Message | Exception] = deque()
        self._reader: asyncio.Future[None] | None = None

    def put(self, one: Message | Exception) -> None:
        self._come.append(one)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Message | Exception:
        """By one at a time."""
        while not self._come:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._come.popleft()


@dataclass(eq=False)
class Connection:
    """One request and its answer."""

    peer: str
    own: bool
    received: int
    acked: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client's end is closed."""
    news: News = field(default_factory=News)


class Network:
    """The port, and everybody who is connected to it."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._connections: dict[str, Connection] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._ports = count(40000)
        self.mistakes: list[Exception] = []
        """The server's own: what it does then says nothing about any fault."""

    async def open(self, method: str, path: str, headers: Mapping[str, str], body: bytes, *, own: bool) -> Connection:
        """Send a request. Raises ConnectionRefusedError."""
        await asyncio.sleep(ROUND_TRIP_SECONDS)
        if not self._listener.inode:
            raise ConnectionRefusedError("connection refused")
        address, port = OWN_ADDRESS if own else USER_ADDRESS, next(self._ports)
        size = len(method) + len(path) + 13 + sum(len(name) + len(value) + 4 for name, value in headers.items())
        connection = Connection(f"{address}:{port}:{port}", own, received=size + len(body))
        self._connections[connection.peer] = connection
        plain, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": plain,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": (address, port),
        }
        task = asyncio.create_task(self._serve(connection, scope, body))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return connection

    async def next(self, connection: Connection) -> Message:
        """The next part of the answer. Raises httpx.ReadError and httpx.RemoteProtocolError."""
        news = await connection.news.get()
        if isinstance(news, Exception):
            raise news
        return news

    def close(self, connection: Connection) -> None:
        """By the client."""
        connection.left.set()
        self._connections.pop(connection.peer, None)

    async def break_all(self) -> None:
        """The server's process is gone."""
        for connection in list(self._connections.values()):
            connection.news.put(httpx.ReadError("connection reset by peer"))
            self.close(connection)
        work, self._work = self._work, set()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    def look(self, port: int, at: float) -> SocketsObservation:
        """What `llm_watchdog.probes.sockets.look` tells on a real port."""
        del port
        inode = self._listener.inode
        return SocketsObservation(
            at=at,
            readable=True,
            listeners=frozenset({inode} if inode else ()),
            samples=tuple(
                SocketSample(peer=one.peer, own=one.own, open=True, received=one.received, acked=one.acked)
                for one in self._connections.values()
            ),
        )

    async def _serve(self, connection: Connection, scope: dict[str, Any], body: bytes) -> None:
        asked = [{"type": "http.request", "body": body, "more_body": False}]
        started = ended = False

        async def receive() -> Message:
            if asked:
                return asked.pop()
            await connection.left.wait()
            await self._listener.awake.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal started, ended
            if started == (message["type"] == "http.response.start"):
                raise RuntimeError(f"an ASGI server takes no {message['type']} here")
            started = True
            await self._listener.awake.wait()
            if connection.left.is_set():
                return
            connection.acked += _size(message)
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            connection.news.put(message)
            if ended:
                self._connections.pop(connection.peer, None)

        await self._listener.awake.wait()
        await self._answer(scope, receive, send)
        if not ended and not connection.left.is_set():
            connection.news.put(httpx.RemoteProtocolError("peer closed connection inside the body"))
            self._connections.pop(connection.peer, None)

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            await self._listener.serve(scope, receive, send)
        except Exception as mistake:  # noqa: BLE001 - whoever plays is told, and the client gets no more
            self.mistakes.append(mistake)


def _size(message: Message) -> int:
    if message["type"] == "http.response.start":
        return HEAD_BYTES + sum(len(name) + len(value) + 4 for name, value in message["headers"])
    body: bytes = message.get("body", b"")
    return len(body) + CHUNK_BYTES


class Transport(httpx.AsyncBaseTransport):
    """For the watchdog's client: one connection per request, as its own transport has it."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            connection = await self._network.open(
                request.method,
                request.url.raw_path.decode(),
                dict(request.headers.items()),
                await request.aread(),
                own=True,
            )
        except ConnectionRefusedError as error:
            raise httpx.ConnectError(str(error)) from error
        try:
            head = await self._network.next(connection)
        except BaseException:
            self._network.close(connection)
            raise
        return httpx.Response(head["status"], headers=head["headers"], stream=_Body(self._network, connection))


class _Body(httpx.AsyncByteStream):
    def __init__(self, network: Network, connection: Connection) -> None:
        self._network = network
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._network.next(self._connection)
            more = message.get("more_body", False)
            if message["body"]:
                yield message["body"]

    async def aclose(self) -> None:
        self._network.close(self._connection)
