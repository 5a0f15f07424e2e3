"""How an incident begins: one open incident per fault class of a replica."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm_watchdog.api.incident import Evidence, Incident, IncidentSpec, IncidentStatus, WorkerRef
from llm_watchdog.api.names import incident_name
from llm_watchdog.api.reasons import FaultClass
from llm_watchdog.core.case import Case
from llm_watchdog.core.ladder import ladder
from llm_watchdog.core.remediation_end import QUIET

if TYPE_CHECKING:
    from datetime import datetime

    from llm_watchdog.core.findings import Finding
    from llm_watchdog.core.replica import Replica
    from llm_watchdog.core.situation import Situation


def open_cases(replica: Replica, situation: Situation) -> Replica:
    """One for each finding that makes an incident and has none."""
    known = {case.fault for case in replica.cases if not case.closed}
    if any(case.restarted for case in replica.cases if not case.closed):
        known.add(FaultClass.ENGINE_DEAD)  # what our own restart brought, or did not: no other fault
    for finding in situation.verdict.findings:
        if finding.incident and finding.fault not in known:
            replica = _open(replica, finding, situation)
    return replica


def _open(replica: Replica, finding: Finding, situation: Situation) -> Replica:
    """A new incident, under the next number of its fault class."""
    who, fault = situation.identity, finding.fault
    number = replica.sequences.get(fault, 0) + 1
    healthy_at = situation.verdict.last_healthy_at
    detect = None if healthy_at is None else round(situation.monotonic - healthy_at, 3)
    incident = Incident(
        name=incident_name(who.worker, fault, who.pod.uid, number),
        namespace=who.namespace,
        spec=IncidentSpec(
            worker_ref=WorkerRef(name=who.worker),
            pod_ref=who.pod,
            fault=fault,
            detected_at=situation.now,
            mode=situation.modes.of(fault),
        ),
        status=IncidentStatus(
            reason=finding.reason,
            message=finding.message,
            verdict=finding.state,
            evidence=[Evidence(at=situation.when(s.at), kind=s.kind, message=s.message) for s in finding.signs[-8:]],
            time_to_detect_seconds=detect,
        ),
    )
    rungs = ladder(fault, situation.policy.remediation.ladders)
    case = Case(incident=incident, ladder=rungs, recurs=_recurs(replica, fault, situation.now))
    sequences = {**replica.sequences, fault.value: number}
    return replace(replica, cases=[*replica.cases, case], sequences=sequences)


def _recurs(replica: Replica, fault: FaultClass, now: datetime) -> bool:
    ends = [case.status.closed_at for case in replica.cases if case.fault is fault]
    return any(at is not None and now - at < QUIET for at in (*ends, replica.ended.get(fault)))
