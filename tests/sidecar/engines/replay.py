"""Recorded streams of real servers, and a server that sends one of them again, byte for byte, cut where one likes."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from llm_watchdog.probes.engine_client import EngineClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORDINGS = Path(__file__).parents[2] / "recordings"
SEPARATOR = b"\n=======\n"
"""Between streams that ran at the same time."""
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8"
HEADS = {
    "dbgpt/stall_until_giveup.raw": b"HTTP/1.1 200 OK\r\nserver: uvicorn",
    "chatchat/saturated.raw": b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8",
}
"""Of those that were recorded without; all others without are event streams."""
_FRAMING = (b"content-length", b"transfer-encoding", b"connection")


class End(StrEnum):
    """How a recorded exchange ended; the file cannot tell."""

    WHOLE = "whole"
    CUT = "cut"
    """The connection was closed without the last chunk (curl: 18)."""
    SILENCE = "silence"
    """Nothing more came while the client waited (curl: 28)."""


class Cut(StrEnum):
    """Where the body is cut into chunks and writes."""

    ONE = "one piece"
    RANDOM = "random pieces"
    BYTES = "single bytes"

    def pieces(self, body: bytes, seed: str) -> list[bytes]:
        if self is Cut.ONE:
            return [body] if body else []
        if self is Cut.BYTES:
            return [body[at : at + 1] for at in range(len(body))]
        chance = random.Random(seed)  # noqa: S311 - where to cut is no secret
        places = sorted(chance.sample(range(len(body) + 1), min(len(body), 12)))
        return [piece for a, b in zip([0, *places], [*places, len(body)], strict=True) if (piece := body[a:b])]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    head: bytes
    """Status line and headers, without those that frame the body."""
    body: bytes


def recorded(name: str) -> Recorded:
    """`folder/file`, and `#n` for the n-th of several streams in it."""
    name, _, number = name.partition("#")
    whole = (RECORDINGS / name).read_bytes()
    if number:
        whole = whole.removesuffix(b"\n").split(SEPARATOR)[int(number)] + b"\n\n"
    if name.endswith(".http"):
        whole = whole.partition(b"\n")[2].replace(b"\n\n", b"\r\n\r\n", 1)
    if not whole.startswith(b"HTTP/"):
        return Recorded(head=HEADS.get(name, SSE_HEAD), body=whole)
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = [line.strip() for line in head.splitlines()]
    kept = [line for line in lines if line.partition(b":")[0].lower() not in _FRAMING]
    return Recorded(head=b"\r\n".join(kept), body=body)


@asynccontextmanager
async def replaying(answer: Recorded, end: End, pieces: list[bytes]) -> AsyncIterator[EngineClient]:
    """A client of a server that gives that one answer."""
    handling: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.head + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            if end is End.WHOLE:
                writer.write(b"0\r\n\r\n")
            while end is End.SILENCE and await reader.read(4096):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = EngineClient(server.sockets[0].getsockname()[1], lambda: None)
    try:
        yield client
    finally:
        await client.aclose()
        server.close()
        await asyncio.gather(*handling)
