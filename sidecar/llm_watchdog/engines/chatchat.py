"""Langchain-Chatchat's API (0.3): a gateway. What fails is nearly always the server behind it, and it says so oddly.

It swallows the errors of its platforms: a request without a stream is then answered with `200 null`, a stream ends with
an `error` object, and while its five permits are held by requests that the platform does not answer, each further one
is an immediate 500 (a full queue). A restart cures none of these.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from llm_watchdog.core.canaries import Flaw
from llm_watchdog.engines.dialect import Call, Capabilities, EndRule, StreamEvent
from llm_watchdog.engines.errors import SERVER_ERROR
from llm_watchdog.engines.openai import CHAT, OpenAI

NULL: Final = "null"


class Chatchat(OpenAI):
    """`engine.type: chatchat`."""

    health: Call = Call(method="GET", path="/docs")
    """Static. `/v1/models` asks the platforms, and would call the gateway sick when they are slow."""
    shapes: tuple[str, ...] = (CHAT,)
    """With OpenAI's own fields only: any other becomes a `200 null`."""
    end: EndRule = EndRule()
    """Good streams have no `[DONE]`."""
    capabilities: Capabilities = Capabilities(
        canary="stream of /v1/chat/completions, on suspicion only unless spec.engine.probeCost is Free",
        end_of_stream="finish_reason stop or length; there is no [DONE], and errors come as 200 null or in the stream",
    )

    def read_event(self, data: str) -> StreamEvent | None:
        """Each error is a platform's."""
        if data.strip() == NULL:
            return StreamEvent(error="null instead of an answer: the platform failed", flaw=Flaw.UPSTREAM_FAILED)
        event = super().read_event(data)
        return replace(event, flaw=Flaw.UPSTREAM_FAILED) if event is not None and event.error is not None else event

    def read_rejection(self, status: int, body: bytes) -> Flaw | None:
        """5xx: no permit is free, as the platform answers none of the requests that hold them."""
        return Flaw.UPSTREAM_FAILED if status >= SERVER_ERROR else super().read_rejection(status, body)
