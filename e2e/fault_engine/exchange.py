"""One HTTP request and its answer, on bare ASGI: reads, replies, streams events, and knows when the client left."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, NoReturn
from urllib.parse import parse_qs

from . import errors

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

_JSON: Final = b"application/json"


class Exchange:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._more = True
        self._query: dict[str, list[str]] = parse_qs(scope["query_string"].decode())
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        self.remote = f"{client[0]}:{client[1]}" if client else ""
        self.began = time.monotonic()
        self.body = b""
        self.status: int | None = None
        self.ended = False
        self.varies = True  # vLLM and FastChat allow other origins, and say so
        self.request_id: str | None = None  # of a generation
        self.tokens = 0

    async def read_body(self) -> bool:
        """False when the client left before it had sent everything."""
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return False
            self.body += message.get("body", b"")
            self._more = message.get("more_body", False)
        return True

    async def client_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def json_body(self) -> dict[str, Any]:
        if not self.headers.get("content-type", "").startswith("application/json"):
            raise errors.bad_request("Unsupported Media Type: Only 'application/json' is allowed")
        try:
            body = json.loads(self.body)
        except json.JSONDecodeError as error:
            raise errors.invalid_json(error.pos, error.msg) from error
        except UnicodeDecodeError as error:
            raise errors.invalid_json(error.start, "Invalid encoding") from error
        if not isinstance(body, dict):
            raise errors.invalid_json(0, "Expecting object")
        return body

    def parameter(self, name: str, default: str) -> str:
        return self._query.get(name, [default])[-1]

    def parameters(self, name: str) -> list[str] | None:
        return self._query.get(name)

    async def reply(self, status: int, document: Any) -> None:
        await self.reply_bytes(status, json.dumps(document, separators=(",", ":")).encode(), _JSON)

    async def reply_bytes(self, status: int, body: bytes, content_type: bytes | None) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        if content_type is not None:
            headers.append((b"content-type", content_type))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})
        self.ended = True

    async def reply_cut(self, status: int, document: Any) -> None:
        """Half of a body, of which the header has promised the whole; the connection is to be closed then."""
        body = json.dumps(document, separators=(",", ":")).encode()
        await self.start(status, _JSON, ((b"content-length", str(len(body)).encode()),))
        await self.send(body[: len(body) // 2])

    async def start(self, status: int, content_type: bytes | None, headers: Iterable[Header] = ()) -> None:
        """The header goes out now, long before the engine has answered."""
        kind = () if content_type is None else ((b"content-type", content_type),)
        await self._start(status, [*kind, *headers])

    async def send(self, body: bytes) -> None:
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})
        self.ended = True

    @property
    def started(self) -> bool:
        return self.status is not None

    async def never(self) -> NoReturn:
        """Nothing more, until the client leaves."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        if self.varies:
            headers.append((b"vary", b"Origin"))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
