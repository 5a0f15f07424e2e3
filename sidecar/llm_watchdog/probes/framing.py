"""Cuts a response body into the events of its dialect. Bounded: an endless line or body ends in an error."""

from __future__ import annotations

import codecs
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
    """What the stream says, event by event. Raises httpx.HTTPError and BodyTooLargeError, and nothing else."""
    bound(response, STREAM_MAX_BYTES)
    kind = response.headers.get("content-type", "").partition(";")[0].lower()
    async for data in _cut(response, kind, dialect.framing):
        event = dialect.read_event(data)
        if event is not None:
            yield event
    if dialect.framing is Framing.SSE and "event-stream" not in kind:
        # One JSON document, from a server that does not stream: its end is the body's.
        yield StreamEvent(end=True)


async def _cut(response: httpx.Response, kind: str, framing: Framing) -> AsyncIterator[str]:
    if "text/event-stream" in kind:
        response.headers["content-type"] = kind  # an event stream is UTF-8, whatever charset it is said to be
        async for event in EventSource(response).aiter_sse():
            yield event.data
    elif framing in _SEPARATORS or "ndjson" in kind:
        async for part in _split(response, _SEPARATORS.get(framing, b"\n")):
            yield part
    elif framing is Framing.RAW and "json" not in kind:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        async for chunk in response.aiter_raw():
            yield decoder.decode(chunk)
    else:
        yield (await response.aread()).decode(errors="replace")


async def _split(response: httpx.Response, separator: bytes) -> AsyncIterator[str]:
    rest = bytearray()
    async for chunk in response.aiter_raw():
        begin = len(rest)
        rest += chunk
        # Only what is new can hold a separator: a long line that comes byte by byte is looked through once.
        while (at := rest.find(separator, begin)) >= 0:
            yield rest[:at].decode(errors="replace")
            del rest[: at + len(separator)]
            begin = 0
    if rest.strip():
        yield rest.decode(errors="replace")
