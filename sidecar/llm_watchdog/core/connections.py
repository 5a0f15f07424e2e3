"""From counters of single connections to traffic: who has asked for something, and whose answer moves.

Bytes are not progress by themselves: headers come at once from a dead engine, health checks and metrics scrapes are
answered by its web server, and keep-alive comments flow in a hung stream. What counts is a sizeable answer to a request
that is no longer new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llm_watchdog.core.observations import SocketSample, SocketsObservation

GENERATION_REQUEST_MIN_BYTES: Final = 160
"""A POST with a JSON body and its headers is larger; a kubelet's `GET /health` is about 115 bytes."""
LONG_PROMPT_BYTES: Final = 4096
"""A request of this size may prefill for long; until more than headers came back it counts as unanswered."""
HEADERS_MAX_BYTES: Final = 512
"""An answer up to this size may be headers only, which a streaming server sends before the first token."""
TOKEN_CHUNK_MIN_BYTES: Final = 64
"""Per sample. A token as an OpenAI chunk takes more; `: keep-alive` and `: ping` comments take less."""
ANSWER_DELAY_SECONDS: Final = 1.0
"""Bytes count as progress when their request is at least this much older than the sampling interval."""
STREAM_REMEMBERED_SECONDS: Final = 5.0
"""A stream that moved this recently is being served."""
HEADERS_ONLY_SECONDS: Final = 30.0
"""How long a request that got headers only is taken for one that waits for its first token (when draining)."""
CONNECTIONS_MAX: Final = 2048
"""More are not followed one by one: the port counts as unreadable, so as busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A foreign connection over time. `asked` is its newest request, `answered` what came back since."""

    peer: str
    open: bool
    received: int
    acked: int
    asked_at: float
    asked_bytes: int
    answered_bytes: int
    streamed_at: float | None = None

    def is_unanswered(self) -> bool:
        """A request that nothing came back to, or headers only where a long prefill may be the reason."""
        if not self.open or self.asked_bytes < GENERATION_REQUEST_MIN_BYTES:
            return False
        limit = HEADERS_MAX_BYTES if self.asked_bytes >= LONG_PROMPT_BYTES else 1
        return self.answered_bytes < limit

    def is_streaming(self, now: float) -> bool:
        """Its answer moved a moment ago."""
        return self.open and self.streamed_at is not None and now - self.streamed_at <= STREAM_REMEMBERED_SECONDS

    def is_served(self, now: float) -> bool:
        """Somebody would lose something if the engine stopped now."""
        headers_only = (
            self.open
            and self.asked_bytes >= GENERATION_REQUEST_MIN_BYTES
            and self.answered_bytes < HEADERS_MAX_BYTES
            and now - self.asked_at <= HEADERS_ONLY_SECONDS
        )
        return headers_only or self.is_unanswered() or self.is_streaming(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What foreign connections did between the sample before (`since`) and this one (`at`)."""

    at: float
    since: float
    readable: bool
    asked: int = 0
    """Connections on which request bytes arrived."""
    streaming: int = 0
    """Connections whose answer moved."""
    outstanding: int = 0
    """Connections with a request in progress."""
    connections: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The connections as of the newest sample."""

    at: float | None = None
    readable: bool = False
    connections: tuple[Connection, ...] = ()

    def served(self, now: float) -> int | None:
        """How many users' requests are being served; None when it cannot be read."""
        return sum(c.is_served(now) for c in self.connections) if self.readable else None


def fold(ledger: Ledger, seen: SocketsObservation) -> tuple[Ledger, Traffic]:
    """Add a sample."""
    since = seen.at if ledger.at is None else ledger.at
    foreign = [sample for sample in seen.samples if not sample.own]
    uncounted = sum(sample.open for sample in foreign if sample.received is None or sample.acked is None)
    if not seen.readable or len(foreign) > CONNECTIONS_MAX:
        blind = Traffic(at=seen.at, since=since, readable=False, connections=len(foreign))
        return Ledger(at=seen.at, readable=False), blind
    known = {connection.peer: connection for connection in ledger.connections}
    connections = tuple(
        _advance(known.get(sample.peer), sample, since=since, at=seen.at)
        for sample in foreign
        if sample.received is not None and sample.acked is not None
    )
    traffic = Traffic(
        at=seen.at,
        since=since,
        readable=uncounted == 0,
        asked=sum(_asked_now(c, seen.at) for c in connections),
        streaming=sum(c.streamed_at == seen.at for c in connections),
        outstanding=sum(c.is_unanswered() or c.is_streaming(seen.at) for c in connections),
        connections=len(foreign),
    )
    return Ledger(at=seen.at, readable=uncounted == 0, connections=connections), traffic


def _asked_now(connection: Connection, at: float) -> bool:
    return connection.asked_at == at and connection.asked_bytes >= GENERATION_REQUEST_MIN_BYTES


def _advance(before: Connection | None, sample: SocketSample, *, since: float, at: float) -> Connection:
    received, acked = sample.received or 0, sample.acked or 0
    if before is None or received < before.received or acked < before.acked:
        return Connection(
            peer=sample.peer,
            open=sample.open,
            received=received,
            acked=acked,
            asked_at=at,
            asked_bytes=received,
            answered_bytes=acked,
        )
    asked, answered = received - before.received, acked - before.acked
    begins = asked > 0 and before.answered_bytes > 0
    is_old = before.asked_at <= since - ANSWER_DELAY_SECONDS
    streams = asked == 0 and answered >= TOKEN_CHUNK_MIN_BYTES and is_old
    return Connection(
        peer=sample.peer,
        open=sample.open,
        received=received,
        acked=acked,
        asked_at=at if asked else before.asked_at,
        asked_bytes=asked if begins else before.asked_bytes + asked,
        answered_bytes=answered if begins else before.answered_bytes + answered,
        streamed_at=at if streams else before.streamed_at,
    )
