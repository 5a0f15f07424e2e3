"""Which incidents end: lost ones are closed, old closed ones are removed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Outcome
from llmworker_operator.domain.grants import HOUR, restarts

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from llmworker_operator.domain.record import IncidentView


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long and how many closed incidents of a worker are kept."""

    age: timedelta
    per_worker: int


def presumably_lost(incidents: Sequence[IncidentView], living: set[str]) -> list[IncidentView]:
    """Open, and their pod is not in the cache: to be confirmed by a read before they are closed."""
    return [i for i in incidents if not i.closed and i.pod_uid not in living]


def expired(
    incidents: Sequence[IncidentView], retention: Retention, now: datetime, *, out: Collection[str] = ()
) -> list[IncidentView]:
    """Closed, and too old or too many; what the hourly limit still counts is kept, and what the brake goes by.

    `out` are the uids of the pods that are not in rotation.
    """
    closed = sorted((i for i in incidents if i.closed), key=_ended, reverse=True)
    counted = {i.name for i in closed if any(at > now - HOUR for at in restarts(i))}
    counted |= {i.name for i in closed if i.outcome == Outcome.QUARANTINED and i.pod_uid in out}
    surplus = closed[max(0, retention.per_worker) :]
    old = [i for i in closed if _ended(i) <= now - retention.age]
    return [i for i in closed if i.name not in counted and (i in surplus or i in old)]


def _ended(incident: IncidentView) -> datetime:
    return incident.closed_at or incident.detected_at
