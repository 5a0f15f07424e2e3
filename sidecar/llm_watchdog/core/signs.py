"""Evidence for people: the newest observations of each kind as short sentences with numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.findings import Sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Sized

    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.connections import Traffic
    from llm_watchdog.core.observations import (
        HealthObservation,
        LoadObservation,
        MetricsObservation,
        StateObservation,
        StatusObservation,
    )
    from llm_watchdog.core.window import Window

CANARIES_SHOWN: Final = 4


def signs(window: Window, canaries: Iterable[CanaryObservation], now: float) -> tuple[Sign, ...]:
    """What a finding rests on, oldest first."""
    found = [_canary(canary, now) for canary in tuple(canaries)[-CANARIES_SHOWN:]]
    found += [_health(entry) for entry in window.health[-1:]]
    found += [_metrics(entry) for entry in window.metrics[-1:]]
    found += [_load(entry) for entry in window.loads[-1:] if entry.requests is not None]
    found += [_traffic(entry) for entry in window.traffic[-1:]]
    found += [_state(entry) for entry in window.states[-1:]]
    found += [_status(entry) for entry in window.status[-1:]]
    return tuple(sorted(found, key=lambda sign: sign.at))


def counted(canaries: Sized) -> str:
    """`1 canary`, `2 canaries`."""
    return f"{len(canaries)} canar{'y' if len(canaries) == 1 else 'ies'}"


def _canary(canary: CanaryObservation, now: float) -> Sign:
    end = now if canary.finished_at is None else canary.finished_at
    status = "" if canary.http_status is None else f", HTTP {canary.http_status}"
    outcome = "waiting" if canary.outcome is CanaryOutcome.IN_PROGRESS else canary.outcome.value
    detail = f": {canary.detail}" if canary.detail else ""
    message = f"{canary.id} {outcome}, {canary.tokens} tokens in {end - canary.started_at:.1f} s{status}{detail}"
    return Sign(at=canary.started_at, kind="Canary", message=message)


def _health(health: HealthObservation) -> Sign:
    status = health.kind.value if health.http_status is None else f"HTTP {health.http_status}"
    return Sign(at=health.at, kind="Health", message=f"{status} after {health.seconds:.3f} s")


def _metrics(page: MetricsObservation) -> Sign:
    reading = page.reading
    if reading is None:
        return Sign(at=page.at, kind="Metrics", message=page.kind.value)
    numbers = (
        ("running", reading.running),
        ("waiting", reading.waiting),
        ("kv cache", reading.kv_usage),
        ("prompt tokens", reading.prompt_tokens),
        ("generation tokens", reading.generation_tokens),
    )
    return Sign(at=page.at, kind="Metrics", message=", ".join(f"{k} {v:g}" for k, v in numbers if v is not None))


def _load(load: LoadObservation) -> Sign:
    return Sign(at=load.at, kind="Load", message=f"{load.requests} requests in the web server")


def _traffic(traffic: Traffic) -> Sign:
    if not traffic.readable:
        return Sign(at=traffic.at, kind="Sockets", message=f"{traffic.connections} connections, not readable")
    busy = f"{traffic.outstanding} waiting or moving, {traffic.streaming} moving"
    message = f"{traffic.connections} foreign connections: {busy}"
    return Sign(at=traffic.at, kind="Sockets", message=message)


def _state(state: StateObservation) -> Sign:
    said = [
        f"{name} {value}" for name, value in (("asleep", state.asleep), ("paused", state.paused)) if value is not None
    ]
    return Sign(at=state.at, kind="State", message=", ".join(said) or state.kind.value)


def _status(status: StatusObservation) -> Sign:
    reading = status.reading
    if reading is None:
        return Sign(at=status.at, kind="Status", message=f"{status.name}: {status.kind.value} {status.seconds:.1f} s")
    numbers = (("busy", reading.busy), ("slots", reading.slots), ("waiting", reading.waiting))
    said = [f"{name} {value}" for name, value in numbers if value is not None]
    said += [reading.leaving] if reading.leaving else []
    return Sign(at=status.at, kind="Status", message=f"{status.name}: {', '.join(said) or status.kind.value}")
