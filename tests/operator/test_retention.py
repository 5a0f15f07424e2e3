"""Which incidents are closed as lost and which are removed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from llmworker_operator.domain.retention import Retention, expired, presumably_lost
from tests.operator.making import NOW, incident, stamp, step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmworker_operator.domain.record import IncidentView

DAY = 86400
KEEP = Retention(age=timedelta(days=30), per_worker=3)


def closed(name: str, days: float, **fields: Any) -> IncidentView:
    return incident("a", name, phase="Closed", outcome="Recovered", closedAt=stamp(-days * DAY), **fields)


def names_of(incidents: Iterable[IncidentView]) -> set[str]:
    return {i.name for i in incidents}


def test_by_age() -> None:
    assert names_of(expired([closed("young", 29), closed("old", 30)], KEEP, NOW)) == {"old"}


def test_by_number_the_oldest_go() -> None:
    many = [closed(f"d{days}", days) for days in (1, 2, 3, 4, 5)]
    assert names_of(expired(many, KEEP, NOW)) == {"d4", "d5"}


def test_open_ones_stay_and_are_not_counted() -> None:
    several = [incident("a", f"open{n}", detected=-99 * DAY) for n in range(9)]
    assert not expired(several, KEEP, NOW)


def test_what_the_hourly_limit_counts_stays() -> None:
    none = Retention(age=timedelta(0), per_worker=0)
    recent = closed("recent", 0.001, steps=[step(-600)])
    assert names_of(expired([recent, closed("old", 1)], none, NOW)) == {"old"}


def test_what_the_brake_goes_by_stays() -> None:
    """A storm of incidents must not make it forget that a replica was restarted in vain."""
    none = Retention(age=timedelta(0), per_worker=0)
    held = incident("a", "held", phase="Closed", outcome="Quarantined", closedAt=stamp(-DAY))
    assert not expired([held], none, NOW, out={"uid-a"})
    assert names_of(expired([held, closed("other", 1)], none, NOW, out={"uid-b"})) == {"held", "other"}
    assert names_of(expired([held, closed("other", 1)], none, NOW, out={"uid-a"})) == {"other"}


def test_lost_are_open_ones_without_their_pod() -> None:
    several = [incident("a"), incident("b"), incident("c", phase="Closed", outcome="Recovered")]
    assert names_of(presumably_lost(several, {"uid-a"})) == {"incident-b"}
