"""Sleep and wake as the worker wishes, with users at the Service: whatever a wake has broken, none of them reads it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from e2e.lab.engines import ENGINES
from e2e.lab.manifests import fault_engine_container
from e2e.lab.power import call, wait_asleep, wish
from e2e.lab.timeline import restarts
from e2e.lab.traffic import Load, Traffic, differing

if TYPE_CHECKING:
    from e2e.tests.conftest import PlainFactory, WorkerFactory

pytestmark = pytest.mark.cluster

ENGINE = ENGINES["fault-engine"]
USERS = Load(parallel=2, every=0.2, seconds=600, prompt_words=24, max_tokens=16, prompts=3)
"""They ask what they asked before the sleep: that is what lies in the prefix cache."""
ANSWERS = 20
RECOVERY_SECONDS = 150


@pytest.mark.parametrize(
    ("fault", "called"),
    [
        ("stale-cache-after-wake", None),
        ("gibberish-after-wake", "DegradedOutput"),
        pytest.param("wake-silent", "WakeFailed", marks=pytest.mark.long),
    ],
)
def test_no_user_reads_what_a_wake_has_broken(fault: str, called: str | None, make_worker: WorkerFactory) -> None:
    """A stale cache is emptied in the wake; where that is no cure, the ladder is climbed before the first user."""
    worker = make_worker(fault, replicas=1, args=("--fault", fault))
    pod = worker.only_pod()
    users = Traffic.start(worker, "users", ENGINE, USERS)
    users.wait_answers(ANSWERS)
    slept = time.time()
    wish(worker, "Asleep")
    wait_asleep(worker)
    assert restarts(worker.pod(pod)) == 0
    woken = time.time()
    wish(worker, "Awake")
    if called is not None:
        worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    users.wait_answers(ANSWERS, since=woken)
    reports = users.reports()
    users.stop()
    assert differing(reports, slept) == []
    incidents = [(i["spec"]["fault"], i["status"]["outcome"]) for i in worker.incidents()]
    assert incidents == ([] if called is None else [(called, "Recovered")])
    assert restarts(worker.pod(pod)) == (0 if called is None else 1)


def test_users_of_a_plain_deployment_read_the_stale_cache(make_worker: WorkerFactory, make_plain: PlainFactory) -> None:
    """What the case above would look like with nobody between wake and users: it can fail."""
    beside = make_worker("beside-stale", replicas=0, wait=False)
    plain = make_plain("stale", {"containers": [fault_engine_container(("--fault", "stale-cache-after-wake"))]})
    pod = plain.wait_ready(90)
    users = Traffic.start(beside, "users-of-plain", ENGINE, USERS, service=plain.name)
    users.wait_answers(ANSWERS)
    slept = time.time()
    call(beside, pod, "/sleep?level=1")
    call(beside, pod, "/wake_up")
    users.wait_answers(ANSWERS, since=time.time())
    wrong = differing(users.reports(), slept)
    users.stop()
    assert wrong
