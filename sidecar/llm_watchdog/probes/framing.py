"""Cuts a response body into the events of its dialect. Bounded: an endless line or body ends in an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from httpx_sse import EventSource

from llm_watchdog.engines.dialect import Framing, StreamEvent
from llm_watchdog.probes.engine_client import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from llm_watchdog.engines.dialect import Dialect

STREAM_MAX_BYTES: Final = 1024 * 1024
"""A few tokens with all their trimmings take some kilobytes."""

_SEPARATORS: Final = {Framing.NDJSON: b"\n", Framing.NUL_JSON: b"\0"}


async def events(response: httpx.Response, dialect: Dialect) -> AsyncIterator[StreamEvent]:
    """What the stream says, event by event. Raises httpx.HTTPError and BodyTooLargeError."""
    bound(response, STREAM_MAX_BYTES)
    async for data in _cut(response, dialect.framing):
        event = dialect.read_event(data)
        if event is not None:
            yield event
    if _is_whole(response, dialect.framing):
        yield StreamEvent(end=True)


def _is_whole(response: httpx.Response, framing: Framing) -> bool:
    """One JSON document, from a server that does not stream: its end is the body's."""
    return framing is Framing.SSE and "event-stream" not in response.headers.get("content-type", "")


async def _cut(response: httpx.Response, framing: Framing) -> AsyncIterator[str]:
    kind = response.headers.get("content-type", "")
    if "text/event-stream" in kind:
        async for line in EventSource(response).aiter_sse():
            yield line.data
    elif framing in _SEPARATORS or "ndjson" in kind:
        async for part in _split(response, _SEPARATORS.get(framing, b"\n")):
            yield part
    elif framing is Framing.RAW:
        async for chunk in response.aiter_raw():
            yield chunk.decode(errors="replace")
    else:
        yield (await response.aread()).decode(errors="replace")


async def _split(response: httpx.Response, separator: bytes) -> AsyncIterator[str]:
    rest = b""
    async for chunk in response.aiter_raw():
        *parts, rest = (rest + chunk).split(separator)
        for part in parts:
            yield part.decode(errors="replace")
    if rest.strip():
        yield rest.decode(errors="replace")
