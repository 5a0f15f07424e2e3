"""Errors that a gateway hands on from the server behind it: nothing that a restart of the gateway would cure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import Flaw
from llm_watchdog.engines.openai import error_event

if TYPE_CHECKING:
    from llm_watchdog.engines.dialect import StreamEvent

_RELAYED: Final = re.compile(
    r"Connection error|(Request|Read|Connect) ?timed ?out|(Read|Connect)Timeout|Error code: [45]\d\d"
    r"|peer closed connection|incomplete chunked read|Max retries exceeded|Connection (refused|reset|aborted)",
    re.IGNORECASE,
)
"""In the words of the client libraries openai (`APIConnectionError` and its like), httpx and requests."""


def is_relayed(message: str) -> bool:
    """Does a client of another server speak here?"""
    return _RELAYED.search(message) is not None


def relayed_or_own(error: object) -> StreamEvent:
    """An error inside a stream; what is wrong with the server behind comes before what its words say else."""
    event = error_event(error)
    return replace(event, flaw=Flaw.UPSTREAM_FAILED) if is_relayed(event.error or "") else event
