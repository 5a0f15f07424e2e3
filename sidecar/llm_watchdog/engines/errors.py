"""What the words of an error say beyond its status. Texts as the servers and their libraries write them."""

from __future__ import annotations

import re
from typing import Final

from llm_watchdog.core.canaries import Flaw

SERVER_ERROR: Final = 500

_MEMORY: Final = re.compile(rb"out of memory|OutOfMemory|\bOOM\b|failed to allocate|bad_alloc", re.IGNORECASE)
_NUMBERS: Final = re.compile(rb"not JSON compliant|\bnan\b|\binf(inity)?\b.{0,40}(logit|logprob|prob)", re.IGNORECASE)
"""vLLM says `400 Out of range float values are not JSON compliant: nan`: a server's fault dressed as a client's."""


def read_flaw(status: int, body: bytes) -> Flaw | None:
    """None where the words say nothing more."""
    if b"not JSON compliant" in body or (status >= SERVER_ERROR and _NUMBERS.search(body)):
        return Flaw.BROKEN_NUMBERS
    return Flaw.OUT_OF_MEMORY if status >= SERVER_ERROR and _MEMORY.search(body) else None
