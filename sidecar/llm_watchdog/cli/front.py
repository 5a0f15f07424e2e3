"""The endpoints of `llm-watchdog run`: there from the start, also while it is not known yet what to watch."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import RotationReason, UnknownReason, VerdictState
from llm_watchdog.server import JSON, METRICS, TEXT, Pages

if TYPE_CHECKING:
    from llm_watchdog.cli.parser import Address
    from llm_watchdog.server import Answer


def listen(address: Address) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server(address, family=family, backlog=128)


class Front(Pages):
    """Answers for the application once there is one."""

    def __init__(self) -> None:
        self.why = "the server was not asked yet"
        self.application: Pages | None = None

    async def answer(self, path: str) -> Answer:
        """Nothing can be said of a server that nobody has recognised."""
        if self.application is not None:
            return await self.application.answer(path)
        match path:
            case "/livez":
                return 200, TEXT, b"waits for the server\n"
            case "/readyz":
                return 503, TEXT, f"{RotationReason.STARTING}: {self.why}\n".encode()
            case "/metrics":
                return 200, METRICS, b"llm_watchdog_in_rotation 0\n"
            case "/status":
                verdict = {
                    "state": VerdictState.UNKNOWN.value,
                    "unknown": UnknownReason.STARTING.value,
                    "message": self.why,
                }
                return 200, JSON, (json.dumps({"verdict": verdict}, indent=2) + "\n").encode()
            case _:
                return 404, TEXT, b"there is /livez, /readyz, /metrics and /status, and /drain once it watches\n"
