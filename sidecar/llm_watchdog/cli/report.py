"""One look at a server as a table for people, and what it amounts to. Pure: made of a window and its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import UnknownReason
from llm_watchdog.core.canaries import NO_EVIDENCE_OUTCOMES, SILENT_OUTCOMES, CanaryObservation, CanaryOutcome
from llm_watchdog.core.observations import AnswerKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.window import Window
    from llm_watchdog.engines.dialect import Dialect

OVERLOADED: Final = 503
"""A full queue, a model that is loading, a pause: not this server's fault."""
BROKEN: Final = frozenset({CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM, CanaryOutcome.INCOMPLETE})
MISSING: Final = "not asked in time"
NEVER_WITHOUT: Final = frozenset(
    {UnknownReason.ASLEEP, UnknownReason.NO_CANARY, UnknownReason.UNLOADED, UnknownReason.TOKENS_SPENT}
)
"""Nothing more will come of waiting for a canary."""


class Result(IntEnum):
    """The exit codes of `llm-watchdog check`."""

    HEALTHY = 0
    FAULTY = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One probe."""

    name: str
    said: str


def is_complete(window: Window, verdict: Verdict, dialect: Dialect, *, unchecked: str) -> bool:
    """Each probe that the dialect knows has been answered for, and each active check that can be made was made."""
    if unchecked:
        return False
    polled = bool(window.health) and bool(window.traffic)
    polled = polled and (dialect.metrics_path is None or bool(window.metrics))
    polled = polled and (dialect.load_path is None or bool(window.loads))
    polled = polled and (not dialect.state_paths or bool(window.states))
    polled = polled and {call.name for call in dialect.status_calls} <= {seen.name for seen in window.status}
    return polled and (_newest(window) is not None or verdict.unknown in NEVER_WITHOUT)


def result(window: Window, verdict: Verdict, now: float) -> tuple[Result, str]:
    """What it amounts to, in one sentence."""
    if verdict.findings:
        worst = verdict.findings[0]
        return Result.FAULTY, f"{worst.fault}, {worst.reason}: {worst.message}"
    newest = _newest(window)
    if newest is None or verdict.unknown in NEVER_WITHOUT:
        return Result.UNKNOWN, verdict.message
    return _meaning(newest, window.ledger.served(now))


def _meaning(canary: CanaryObservation, served: int | None) -> tuple[Result, str]:
    """A canary that waits beside users' requests proves nothing so soon."""
    is_silent = canary.outcome in SILENT_OUTCOMES
    if canary.outcome is CanaryOutcome.SUCCEEDED:
        return Result.HEALTHY, "its canary was generated and ended as it should"
    if is_silent and served != 0:
        others = "an unknown number of" if served is None else served
        return Result.UNKNOWN, f"{others} requests of others in flight, so a canary may have to wait"
    if canary.outcome is CanaryOutcome.SERVER_ERROR and canary.http_status == OVERLOADED:
        return Result.UNKNOWN, f"full, loading or paused; canary: {_told(canary)}"
    if is_silent or canary.outcome in BROKEN:
        return Result.FAULTY, f"nobody else is served; canary: {_told(canary)}" if is_silent else _told(canary)
    return Result.UNKNOWN, f"canary: {_told(canary)}"


def rows(window: Window, dialect: Dialect, checks: Mapping[str, str], now: float) -> Iterator[Row]:
    """In the order in which they are asked."""
    yield Row("health", _health(window))
    if dialect.metrics_path is not None:
        yield Row("metrics", _metrics(window))
    if dialect.load_path is not None:
        yield Row("load", next((_kind(s.kind, _number(s.requests, "requests")) for s in window.loads[-1:]), MISSING))
    if dialect.state_paths:
        yield Row("state", _state(window))
    for call in dialect.status_calls:
        yield Row(call.name, _status(window, call.name))
    yield Row("connections", _connections(window, now))
    newest = next(reversed(window.canaries), None)
    yield Row("canary", MISSING if newest is None else _told(newest))
    for kind, said in checks.items():
        yield Row(kind, said)


def _newest(window: Window) -> CanaryObservation | None:
    """The newest canary that ended and says something; a sound one only if none before it was unsound."""
    ended = [
        canary
        for canary in window.canaries
        if canary.outcome is not CanaryOutcome.IN_PROGRESS and canary.outcome not in NO_EVIDENCE_OUTCOMES
    ]
    unsound = [c for c in ended if c.outcome not in (CanaryOutcome.SUCCEEDED, CanaryOutcome.REJECTED)]
    return next(reversed(unsound or ended), None)


def _told(canary: CanaryObservation) -> str:
    first = canary.first_token_at
    waited = "" if first is None else f", the first after {first - canary.started_at:.3f} s"
    status = "" if canary.http_status in (None, 200) else f" with HTTP {canary.http_status}"
    detail = f": {canary.detail}" if canary.detail else ""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in canary.outcome.value).strip()
    return f"{words}{status}, {canary.tokens} tokens{waited}{detail}"


def _kind(kind: AnswerKind, said: str) -> str:
    meant = {AnswerKind.ANSWERED: said, AnswerKind.GATED: "not offered by this server"}
    return meant.get(kind, f"{kind.value.lower()}")


def _health(window: Window) -> str:
    seen = next(reversed(window.health), None)
    return MISSING if seen is None else _kind(seen.kind, f"HTTP {seen.http_status} after {seen.seconds:.3f} s")


def _metrics(window: Window) -> str:
    page = min(window.metrics, key=lambda seen: seen.own_canaries, default=None)  # our own requests are on it too
    if page is None:
        return MISSING
    if page.reading is None:
        return _kind(page.kind, "")
    reading = page.reading
    parts = [_number(reading.running, "running"), _number(reading.waiting, "waiting")]
    if reading.kv_usage is not None:
        parts.append(f"cache use {reading.kv_usage:.3f}")
    return ", ".join(part for part in parts if part) or "a page without the numbers that are looked for"


def _state(window: Window) -> str:
    state = next(reversed(window.states), None)
    if state is None:
        return MISSING
    said = {"asleep": state.asleep, "paused": state.paused}
    told = [name if value else f"not {name}" for name, value in said.items() if value is not None]
    return _kind(state.kind, ", ".join(told) or "does not tell")


def _status(window: Window, name: str) -> str:
    seen = next((status for status in reversed(window.status) if status.name == name), None)
    if seen is None:
        return MISSING
    if seen.reading is None:
        return _kind(seen.kind, f"HTTP {seen.http_status} after {seen.seconds:.3f} s")
    reading = seen.reading
    parts = [_number(reading.slots, "slots"), _number(reading.busy, "busy"), _number(reading.waiting, "waiting")]
    parts += ["no model loaded"] if reading.unloaded else []
    return ", ".join(part for part in (*parts, reading.leaving) if part) or _kind(seen.kind, "answered")


def _connections(window: Window, now: float) -> str:
    served = window.ledger.served(now)
    return "cannot be read: the server counts as busy" if served is None else f"{served} requests of others in flight"


def _number(value: float | None, what: str) -> str:
    return "" if value is None else f"{value:g} {what}"


def table(rows: list[Row], outcome: tuple[Result, str]) -> str:
    """Ends with the result."""
    code, why = outcome
    last = Row(code.name.lower(), why)
    width = max(len(row.name) for row in (*rows, last)) + 2
    return "\n".join(f"{row.name:{width}}{row.said}" for row in (*rows, last)) + "\n"
