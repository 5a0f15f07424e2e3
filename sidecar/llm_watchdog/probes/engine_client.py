"""HTTP to the engine of the own pod. Each call has its own connection, a time-out and a bound on what it reads.

What the engine's dialect forbids does not leave: this is the only way out. Calls come from a loopback address of their
own, by which the watchdog's connections are told from users', also in the engine's access log.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import httpx

from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.dialect import Call
from llm_watchdog.engines.forbidden import Fact, Forbidden, refusal
from llm_watchdog.engines.registry import NEVER
from llm_watchdog.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

ENGINE_HOST: Final = "127.0.0.1"
OWN_ADDRESS: Final = "127.0.0.88"
"""Any address in 127/8 can be bound on Linux; this one is nobody else's."""
BODY_MAX_BYTES: Final = 4 * 1024 * 1024
"""A metrics page is far below this; an endless body is cut here."""
DETAIL_MAX: Final = 200


HEADERS: Final = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "keep-alive",
    "User-Agent": "llm-watchdog",
}
"""Of every call. The transport says `Connection: close`, others keep what they are given."""
NOTHING_KNOWN: Final[frozenset[Fact]] = frozenset()


class BodyTooLargeError(Exception):
    """The engine sends more than any sane answer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a call: a body, or how it failed and in which words."""

    kind: AnswerKind
    status: int | None = None
    body: bytes = b""
    detail: str = ""

    @property
    def is_ok(self) -> bool:
        """A 200 with its whole body."""
        return self.status == httpx.codes.OK


class EngineClient:
    """Owned by whoever runs the watcher; `transport` is the seam for tests."""

    def __init__(
        self,
        port: int,
        api_key: Callable[[], str | None],
        transport: httpx.AsyncBaseTransport | None = None,
        host: str = ENGINE_HOST,
        forbidden: Sequence[Forbidden] = NEVER,
    ) -> None:
        self._api_key = api_key
        self._forbidden = forbidden
        own_address = OWN_ADDRESS if is_loopback(host) else None
        self._base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        # No httpx.AsyncClient around it: no cookie, redirect or authentication is wanted, and these are half of a call.
        self._transport = transport or StreamTransport(local_address=own_address)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    async def get(self, path: str, *, seconds: float) -> Answer:
        """A plain GET, bounded in time and size; raises nothing."""
        return await self.call(Call(method="GET", path=path), seconds=seconds)

    async def call(self, call: Call, *, seconds: float, known: frozenset[Fact] = NOTHING_KNOWN) -> Answer:
        """A call whose whole answer is wanted; raises nothing. `known`: what the caller has just seen of the engine."""
        try:
            async with asyncio.timeout(seconds), self.stream(call, known=known) as response:
                body = await read_body(response)
        except TimeoutError:
            return Answer(kind=AnswerKind.SILENT, detail=f"no answer within {seconds:g} s")
        except (httpx.HTTPError, BodyTooLargeError, OSError) as error:
            return failure(error)
        return Answer(kind=AnswerKind.ANSWERED, status=response.status_code, body=body)

    def stream(
        self, call: Call, *, known: frozenset[Fact] = NOTHING_KNOWN
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """A call whose answer is read as it comes; closing it is how the engine is told to stop.

        Raises PermissionError for one that is forbidden.
        """
        why_not = refusal(call, self._forbidden, known)
        if why_not:
            raise PermissionError(why_not)
        headers = {**HEADERS, **self._key(), **(call.headers or {})}
        content = None if call.body is None else json.dumps(call.body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        request = httpx.Request(call.method, _url(self._base, call.path), headers=headers, content=content)
        return _Exchange(self._transport, request)

    def _key(self) -> dict[str, str]:
        key = self._api_key()
        return {"Authorization": f"Bearer {key}"} if key else {}


class _Exchange(AbstractAsyncContextManager[httpx.Response]):
    """Each call bounds its whole time, so the transport is given no time-outs."""

    def __init__(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
        self._transport = transport
        self._request = request
        self._response: httpx.Response | None = None

    async def __aenter__(self) -> httpx.Response:
        """Sent, and the head of the answer is there."""
        self._response = await self._transport.handle_async_request(self._request)
        self._response.request = self._request
        return self._response

    async def __aexit__(self, *_: object) -> None:
        """The connection is closed, whatever is left of the answer."""
        if self._response is not None:
            await self._response.aclose()


@lru_cache(maxsize=64)
def _url(base: str, path: str) -> httpx.URL:
    """The same few again and again: taking one apart costs as much as sending it."""
    return httpx.URL(f"{base}/{path.lstrip('/')}")


def is_loopback(host: str) -> bool:
    """Can be called from `OWN_ADDRESS`, so that our connections are told from users'."""
    return host.startswith("127.")


class BoundedStream(httpx.AsyncByteStream):
    """A body that ends in an error when it grows beyond all reason."""

    def __init__(self, stream: httpx.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk."""
        async for chunk in self._stream:
            self._left -= len(chunk)
            if self._left < 0:
                raise BodyTooLargeError("the answer is longer than any sane one")
            yield chunk

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()


def bound(response: httpx.Response, limit: int) -> None:
    """Let nothing beyond `limit` bytes be read, nor a body that was asked for plain and could grow when unpacked.

    Raises httpx.DecodingError.
    """
    if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise httpx.DecodingError("compressed, although a plain body was asked for", request=None)
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = BoundedStream(response.stream, limit)


async def read_body(response: httpx.Response, limit: int = BODY_MAX_BYTES) -> bytes:
    """The whole body, if it is of a sane size."""
    bound(response, limit)
    return await response.aread()


def failure(error: Exception) -> Answer:
    """Whose failure it is: nobody listens, the engine cut the connection, or the watchdog could not ask."""
    detail = f"{type(error).__name__}: {error}"[:DETAIL_MAX]
    if any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error)):
        return Answer(kind=AnswerKind.REFUSED, detail="connection refused")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError | httpx.CloseError):
        return Answer(kind=AnswerKind.CUT, detail=detail)
    if isinstance(error, BodyTooLargeError | httpx.DecodingError):
        return Answer(kind=AnswerKind.UNREADABLE, detail=detail)
    return Answer(kind=AnswerKind.NOT_SENT, detail=detail)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
