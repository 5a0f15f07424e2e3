"""The line between the API server and the EngineCore, and the EngineCore as a process of its own at its other end."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from . import engine_core
from .core_loop import Message
from .limits import Limits
from .places import PACKAGE_NAME, PACKAGE_ROOT

_LINE_BYTES: Final = 1 << 24


class CoreLine(Protocol):
    """The API server's end of it."""

    @property
    def pid(self) -> int:
        """Of the EngineCore."""

    def send(self, message: Message) -> None:
        """It is read between two steps."""

    async def stop(self) -> None:
        """End the EngineCore; returns when its death was heard."""


Hear = Callable[[Message], None]
Connect = Callable[[Limits, Hear, Callable[[], None]], Awaitable[CoreLine]]
"""Starts an EngineCore. What it says goes to the one, its death to the other."""


class ProcessLine:
    """JSON lines on a socket pair."""

    def __init__(self, process: subprocess.Popen[bytes], writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._writer = writer
        self._listener: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> None:
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def stop(self) -> None:
        self._process.kill()  # a stopped core would not read a hang-up
        if self._listener is not None:
            await self._listener
        self._writer.close()

    def listen(self, reader: asyncio.StreamReader, hear: Hear, died: Callable[[], None]) -> None:
        self._listener = asyncio.ensure_future(self._listen(reader, hear, died))

    async def _listen(self, reader: asyncio.StreamReader, hear: Hear, died: Callable[[], None]) -> None:
        try:
            while line := await reader.readline():
                hear(json.loads(line))
        except ConnectionError:
            pass  # killed while we were sending: the same as a hang-up
        died()
        await asyncio.to_thread(self._process.wait)  # leave no zombie where the server lives on


async def start_process(limits: Limits, hear: Hear, died: Callable[[], None]) -> ProcessLine:
    """The process exists, and can be told of faults; it has not loaded yet."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = _command(theirs.fileno(), limits)
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), cwd=PACKAGE_ROOT)  # noqa: ASYNC220
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_BYTES)
    line = ProcessLine(process, writer)
    line.listen(reader, hear, died)
    return line


def _command(descriptor: int, limits: Limits) -> list[str]:
    module = f"{PACKAGE_NAME}.engine_core"
    said = json.dumps(limits.as_json())
    return [sys.executable, "-m", module, "--title", engine_core.TITLE, "--fd", str(descriptor), "--limits", said]
