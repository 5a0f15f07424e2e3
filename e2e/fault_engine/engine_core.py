"""The process that makes the tokens: `python -m fault_engine.engine_core --title VLLM::EngineCore ...`.

Stopping or killing it is what stopping or killing vLLM's EngineCore is. It speaks JSON lines on an inherited socket.
"""

import argparse
import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from .core_loop import CoreLoop, Message
from .limits import Limits

TITLE: Final = "VLLM::EngineCore"
_READ_BYTES: Final = 1 << 20
_FAULT_EXIT: Final = 1


class EngineCore:
    def __init__(self, channel: socket.socket, limits: Limits) -> None:
        self._channel = channel
        self._partial = b""
        self._loop = CoreLoop(limits, time.monotonic(), send=self._send, die=lambda: os._exit(_FAULT_EXIT))

    def run(self) -> None:
        """Until the API server hangs up."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        while True:
            due = self._loop.due_at()
            pause = None if due is None else max(0.0, due - time.monotonic()) * 1000
            if poller.poll(pause) and not self._receive():
                return
            self._loop.turn(time.monotonic())

    def _receive(self) -> bool:
        """Take what was sent; False when the API server is gone."""
        data = self._channel.recv(_READ_BYTES)
        if not data:
            return False
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._loop.hear(json.loads(line), time.monotonic())
        return True

    def _send(self, message: Message) -> None:
        self._channel.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")


def name_process(name: str) -> None:
    """For `ps` and `pgrep`; the kernel keeps the first 15 characters."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine_core")
    parser.add_argument("--title", required=True, help="shows in the command line")
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--limits", type=json.loads, required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API server decides
    name_process(arguments.title)
    channel = socket.socket(fileno=arguments.fd)
    with suppress(ConnectionError):  # the API server died first
        EngineCore(channel, Limits(**arguments.limits)).run()


if __name__ == "__main__":
    main()
