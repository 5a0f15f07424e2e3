"""One JSON line on stdout for each request, when it is over; generations also leave a line when they are taken in.

The first line is there because a replica that is killed while it hangs never writes the second. No line holds any text
of a prompt or an answer.
"""

import json
import sys
import time
from typing import Any

from .exchange import Exchange


def write_event(event: str, **fields: Any) -> None:
    line = {"time": round(time.time(), 3), "event": event} | fields
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def log_accepted(exchange: Exchange) -> None:
    write_event("accepted", **_who(exchange))


def log_finished(exchange: Exchange) -> None:
    write_event(
        "finished",
        **_who(exchange),
        status=exchange.status,
        tokens=exchange.tokens,
        seconds=round(time.monotonic() - exchange.began, 3),
        cut=not exchange.ended,
    )


def _who(exchange: Exchange) -> dict[str, Any]:
    return {
        "method": exchange.method,
        "path": exchange.path,
        "remote": exchange.remote,
        "request_id": exchange.request_id,
        "user_agent": exchange.headers.get("user-agent", ""),
    }
