"""What a real watchdog writes is read rightly, and a record with a hole in it is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.remediation.watched import WatchBrokenError, read, seen
from llm_watchdog.api.incident import Incident, IncidentSpec, IncidentStatus, PodRef, WorkerRef
from llm_watchdog.api.reasons import FaultClass, FindingReason, GrantableStep, Mode, Outcome, Phase, Rung
from llm_watchdog.core.case import Case
from llm_watchdog.recorder import documents
from llmworker_operator.domain.record import read_incident

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRANT = {"step": "Restart", "grantedAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-01T00:00:30Z"}


def case(**status: Any) -> Case:
    spec = IncidentSpec(
        worker_ref=WorkerRef(name="w"),
        pod_ref=PodRef(name="w-1", uid="uid"),
        fault=FaultClass.STALLED_STREAM,
        detected_at=NOW,
        mode=Mode.ENFORCE,
    )
    held = IncidentStatus(reason=FindingReason.NO_FIRST_TOKEN, message="No token.", **status)
    return Case(incident=Incident(name="i", namespace="n", spec=spec, status=held))


def document(of: Case, grant: dict[str, str] | None = None) -> dict[str, Any]:
    """As the API server holds it."""
    status = documents.status(of)["status"] | ({"grant": grant} if grant else {})
    return {"metadata": {"name": "i", "namespace": "n"}, "spec": documents.incident(of)["spec"], "status": status}


ASKS: dict[str, Any] = {"phase": Phase.AWAITING_GRANT, "requested_step": GrantableStep.RESTART}
STATES: list[tuple[Case, dict[str, str] | None, tuple[bool, bool]]] = [
    (case(), None, (False, False)),
    (case(**ASKS), None, (True, False)),
    (case(**ASKS), GRANT, (False, True)),
    (case(**{**ASKS, "requested_step": GrantableStep.LEAVE_ROTATION}), None, (False, False)),
    (case(phase=Phase.ACTING).begin_step(Rung.RESTART, NOW), GRANT, (False, True)),
    (case(phase=Phase.VERIFYING).begin_step(Rung.RESTART, NOW), None, (False, True)),
    (case(phase=Phase.CLOSED, outcome=Outcome.RECOVERED).begin_step(Rung.RESTART, NOW), GRANT, (False, False)),
]


@pytest.mark.parametrize(("of", "grant", "expected"), STATES)
def test_each_state_of_a_real_watchdogs_incident(
    of: Case, grant: dict[str, str] | None, expected: tuple[bool, bool]
) -> None:
    found = seen(1.5, document(of, grant))
    assert (found.waits, found.holds) == expected
    assert (found.worker, found.incident, found.pod, found.at) == (("n", "w"), "i", "uid", 1.5)
    assert found.holds == read_incident(document(of, grant)).holds_budget


def test_an_incident_without_a_status_is_open() -> None:
    bare = {**document(case()), "status": {}}
    assert seen(0, bare).phase == "Open"


def line(kind: str) -> str:
    return f"12.500000 {json.dumps({'type': kind, 'object': document(case(**ASKS))})}\n"


def test_a_line_of_the_record() -> None:
    (found,) = read([line("MODIFIED")])
    assert (found.at, found.waits) == (12.5, True)


@pytest.mark.parametrize("text", [line("ERROR"), line("DELETED"), line("BOOKMARK"), "12.5 {", "12.5 \n"])
def test_a_hole_in_the_record_is_no_record(text: str) -> None:
    with pytest.raises(WatchBrokenError):
        read([line("ADDED"), text])
