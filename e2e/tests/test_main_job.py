"""A replica that hangs while `/health` is 200 is found, taken out of rotation, restarted in place and recorded."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.lab.access import wait_for
from e2e.lab.access_logs import AccessLog
from e2e.lab.calm import undisturbed
from e2e.lab.engines import ENGINES
from e2e.lab.manifests import fault_engine_container
from e2e.lab.processes import find, signal
from e2e.lab.timeline import condition, engine_id, gated_for, states_of
from e2e.lab.traffic import Load, Traffic, failed
from e2e.lab.witnesses import Witnesses

if TYPE_CHECKING:
    from e2e.lab.access import Access
    from e2e.lab.plain import Plain
    from e2e.tests.conftest import Compare, PlainFactory, Scene, WorkerFactory

pytestmark = pytest.mark.cluster

NAMESPACE = "models"
ENGINE = ENGINES["fault-engine"]
RECOVERY_SECONDS = 300
"""Where a user's request was in flight when it hung, a restart waits for what a kernel compile may take."""


PLAIN_START_SECONDS = 90
SLOW_START_SECONDS = 25


@pytest.fixture
def plain(make_plain: PlainFactory) -> Plain:
    """The rival: the same engine behind the probes of KServe, Ready."""
    made = make_plain("plain", {"containers": [fault_engine_container()]})
    made.wait_ready(PLAIN_START_SECONDS)
    return made


def stop_core(access: Access, pod: str) -> None:
    pids = find(access, NAMESPACE, pod, ENGINE.core_process)
    assert pids, "no EngineCore process found"
    signal(access, NAMESPACE, pod, "STOP", pids)


@pytest.mark.longest
def test_a_hang_is_found_cut_off_restarted_and_recorded_and_the_plain_deployment_stays_ready(
    installed: Access, make_worker: WorkerFactory, scene: Scene, plain: Plain, compare: Compare
) -> None:
    worker = make_worker("hang")
    load = Load(parallel=1, every=1.5, seconds=2 * RECOVERY_SECONDS, timeout=4)  # both are stopped when all is seen
    ours = Traffic.start(worker, "users", ENGINE, load)
    theirs = Traffic.start(worker, "users-of-plain", ENGINE, load, service=plain.name)
    wait_for("answers of both", lambda: len(ours.reports()) > 3 and len(theirs.reports()) > 3, timeout=60)
    victim, healthy = (pod["metadata"]["name"] for pod in worker.pods())
    rival, before = plain.wait_ready(0), engine_id(worker.pod(victim))

    with ExitStack() as stack:
        logs = {pod: stack.enter_context(AccessLog(installed, NAMESPACE, pod)) for pod in (victim, healthy)}
        wait_for("users at both replicas", lambda: all(log.completions(ours.pod) for log in logs.values()), timeout=30)
        scene.mark()
        stop_core(installed, victim)
        stop_core(installed, rival)
        incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
        worker.wait_in_rotation(2)
        heard = Witnesses.hear(ours, logs, victim, healthy, since=time.time())

    ours.stop()
    scene.wait_settled(rival, PLAIN_START_SECONDS)
    plain_reports = theirs.reports()
    theirs.stop()
    times = scene.times(victim)
    compare("fault engine: hang under users", scene.side(victim, heard.reports), scene.side(rival, plain_reports))
    assert engine_id(worker.pod(victim)) != before, "the engine container was not started anew"
    assert worker.pod(victim)["metadata"]["uid"] == incident["spec"]["podRef"]["uid"], (
        "the pod was replaced, not restarted"
    )
    assert incident["spec"]["fault"] == "StalledStream"
    assert incident["status"]["outcome"] == "Recovered"
    assert [step["step"] for step in incident["status"]["steps"]][-1] == "Restart"
    assert not [i for i in worker.incidents() if i["spec"]["podRef"]["name"] == healthy], "the healthy one was accused"

    still = worker.pod(rival)
    ready = condition(still, "Ready")
    assert ready is not None
    assert ready["status"] == "True", "the plain pod left the Service: the comparison says nothing"
    assert still["status"]["containerStatuses"][0]["restartCount"] == 0
    heard.check(scene.story.zero, times, plain_reports)


@pytest.mark.longest
def test_a_replica_that_hangs_while_it_streams_is_restarted(
    installed: Access, make_worker: WorkerFactory, scene: Scene
) -> None:
    # Less patient than by default, where the first case shows what a request in flight costs.
    watchdog = {"detectors": {"stalledStream": {"busyRestartDeadline": "30s"}}}
    worker = make_worker("midstream", replicas=1, args=("--token-seconds", "0.05"), watchdog=watchdog)
    users = Traffic.start(worker, "users", ENGINE, Load(parallel=3, every=0.1, seconds=40, max_tokens=64, timeout=30))
    wait_for("a stream to have ended", lambda: len(users.reports()) > 2, timeout=60)
    victim = worker.pods()[0]["metadata"]["name"]
    before = engine_id(worker.pod(victim))
    scene.mark()
    stop_core(installed, victim)
    users.stop()
    incident = worker.wait_incident(180, phase="Closed")
    assert incident["status"]["outcome"] == "Recovered"
    assert engine_id(worker.pod(victim)) != before


@pytest.mark.parametrize(
    ("name", "env", "pattern", "sig", "fault"),
    [
        ("keepalive", {"VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "1"}, "EngineCore", "KILL", "EngineDead"),
        ("frozen-api", {}, "python3 -m fault_engine --port", "STOP", "StalledStream"),
    ],
)
def test_a_dead_core_behind_a_living_server_and_a_frozen_server_are_restarted(
    installed: Access,
    make_worker: WorkerFactory,
    scene: Scene,
    name: str,
    env: dict[str, str],
    pattern: str,
    sig: str,
    fault: str,
) -> None:
    worker = make_worker(name, replicas=1, env=env)
    victim = worker.pods()[0]["metadata"]["name"]
    before = engine_id(worker.pod(victim))
    scene.mark()
    signal(installed, NAMESPACE, victim, sig, find(installed, NAMESPACE, victim, pattern))
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1)
    print(scene.times(victim).row())
    assert incident["spec"]["fault"] == fault
    assert incident["status"]["outcome"] == "Recovered"
    assert engine_id(worker.pod(victim)) != before


def test_a_slow_start_is_no_fault_and_not_in_rotation(make_worker: WorkerFactory, scene: Scene) -> None:
    scene.mark()
    worker = make_worker("slowstart", replicas=1, args=("--startup-seconds", str(SLOW_START_SECONDS)))
    states = states_of(worker.only_pod(), scene.story.zero, scene.pods.seen)
    assert gated_for(states) >= SLOW_START_SECONDS, "in rotation before the engine could answer"
    assert worker.incidents() == []
    assert worker.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 0


def test_sixteen_clients_without_a_fault_raise_nothing(make_worker: WorkerFactory) -> None:
    worker = make_worker("busy", replicas=1)
    load = Load(parallel=16, every=0.1, seconds=30, prompt_words=200, max_tokens=64, timeout=60)
    with undisturbed(worker):
        reports = Traffic.start(worker, "users", ENGINE, load).wait(150)
    assert len(reports) > load.parallel
    assert failed(reports) == 0
