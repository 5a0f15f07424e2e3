"""The API server is gone while engines hang: they are restarted all the same, and the records arrive whole and once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from e2e.lab.access import wait_for
from e2e.lab.processes import find, signal
from e2e.lab.timeline import engine_id, in_rotation, restarts
from e2e.lab.workers import Worker

if TYPE_CHECKING:
    from e2e.cluster.source import Cluster
    from e2e.tests.conftest import WorkerFactory

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

NAMESPACE = "models"
RECOVERY_SECONDS = 150
OUTAGE_SECONDS = 80
"""Longer than the 20 s until a restart is due, the 30 s without an API server, the jitter of at most 20 s and the
restart itself. Nobody outside can see any of it, so there is nothing to wait for but the time."""
ROUNDED_SECONDS = 0.002
"""Durations are written in whole milliseconds."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()


@dataclass(frozen=True, slots=True)
class Victim:
    """One replica that hangs. `engine` is its container before, `core` the process to stop."""

    worker: Worker
    pod: str
    engine: str | None
    core: list[int]

    @classmethod
    def of(cls, worker: Worker) -> Victim:
        pod = worker.only_pod()
        core = find(worker.access, NAMESPACE, pod, "EngineCore")
        return cls(worker, pod, engine_id(worker.pod(pod)), core)

    def hang(self) -> datetime:
        """Returns when it hangs."""
        signal(self.worker.access, NAMESPACE, self.pod, "STOP", self.core)
        return datetime.now(UTC)


def assert_complete(incident: dict[str, Any], *, hung: datetime, back: datetime) -> None:
    """All that a record of this kind holds, with instants in their order, of things that were done in the outage."""
    spec, status = incident["spec"], incident["status"]
    assert spec["fault"] == "StalledStream"
    assert (status["phase"], status["outcome"]) == ("Closed", "Recovered")
    assert "without a grant" in status["message"]
    assert "grant" not in status
    assert "Canary" in {entry["kind"] for entry in status["evidence"]}
    assert all(entry["message"] and at(entry["at"]) < back for entry in status["evidence"])
    drain, restart = status["steps"]
    assert [drain["step"], restart["step"]] == ["Drain", "Restart"]
    assert [drain["outcome"], restart["outcome"]] == ["Succeeded", "Succeeded"]
    assert drain["proof"]
    assert restart["proof"]
    detected, begun, ended = at(spec["detectedAt"]), at(restart["startedAt"]), at(restart["finishedAt"])
    closed = at(status["closedAt"])
    instants = [hung, detected, at(drain["startedAt"]), at(drain["finishedAt"]), begun, ended, closed]
    assert instants == sorted(instants)
    assert begun < back, "it waited for the API server instead of helping itself"
    assert status["timeToDetectSeconds"] > seconds(hung, detected), "it was last healthy after it had hung"
    ordered = status["timeToActSeconds"]
    assert seconds(detected, begun) - ROUNDED_SECONDS <= ordered <= seconds(detected, ended) + ROUNDED_SECONDS
    assert abs(status["timeToRecoverSeconds"] - seconds(detected, closed)) <= ROUNDED_SECONDS


def test_with_the_api_server_gone_engines_are_restarted_and_the_records_arrive_whole_and_once(
    cluster: Cluster, make_worker: WorkerFactory
) -> None:
    """One replica had left rotation before; of the other nothing was written when the API server went."""
    workers = [make_worker(name, replicas=1, wait=False) for name in ("outage-left", "outage-unseen")]
    for worker in workers:
        worker.wait_in_rotation(1)
    left, unseen = map(Victim.of, workers)
    left_hung = left.hang()
    wait_for("the first to leave rotation", lambda: not in_rotation(left.worker.pod(left.pod)), timeout=60, every=0.2)
    unseen_hung = unseen.hang()
    cluster.stop_apiserver()
    gone = datetime.now(UTC)
    time.sleep(OUTAGE_SECONDS)
    back = datetime.now(UTC)
    cluster.start_apiserver()
    for victim, hung in ((left, left_hung), (unseen, unseen_hung)):
        incident = victim.worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
        victim.worker.wait_in_rotation(1)
        assert_complete(incident, hung=hung, back=back)
        assert len(victim.worker.incidents()) == 1, "the record arrived more than once"
        pod = victim.worker.pod(victim.pod)
        assert engine_id(pod) != victim.engine
        assert restarts(pod) == 1
    # The other one never left it: without an API server nobody can change the endpoints.
    (record,) = left.worker.incidents()
    assert left_hung < at(record["status"]["outOfRotationAt"]) < gone
