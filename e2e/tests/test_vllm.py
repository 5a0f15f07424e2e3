"""The real vLLM, beside a plain Deployment of the same image: who notices, who serves, what is recorded.

The short form (one hang, one load without a fault) is part of `make test`; the other cases are `make e2e-vllm`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from e2e.lab.access import apply, wait_for
from e2e.lab.access_logs import AccessLog
from e2e.lab.engines import ENGINES
from e2e.lab.install import load_images
from e2e.lab.manifests import vllm_container, vllm_worker
from e2e.lab.processes import find, signal
from e2e.lab.timeline import condition, engine_id, in_rotation
from e2e.lab.traffic import Load, Traffic, failed
from e2e.lab.workers import Worker

if TYPE_CHECKING:
    from e2e.cluster.source import Cluster
    from e2e.lab.access import Access
    from e2e.lab.plain import Plain
    from e2e.tests.conftest import PlainFactory, Scene

pytestmark = [pytest.mark.cluster, pytest.mark.vllm, pytest.mark.alone]

NAMESPACE = "models"
ENGINE = ENGINES["vllm"]
RECOVERY_SECONDS = 420
VOLUMES = ENGINE.manifests(NAMESPACE)[-1]["spec"]["template"]["spec"]["volumes"]

VllmFactory = Callable[..., Worker]


@pytest.fixture(scope="module")
def vllm_ready(installed: Cluster) -> Cluster:
    """The image and the volume with vLLM's files."""
    load_images(installed, ENGINE.images, print)
    ENGINE.prepare(installed, NAMESPACE, print)
    return installed


@pytest.fixture(scope="module")
def real(vllm_ready: Access) -> Iterator[Worker]:
    """Two replicas of the real vLLM, shared by the cases that leave them healthy."""
    apply(vllm_ready, vllm_worker("real", NAMESPACE))
    worker = Worker(vllm_ready, NAMESPACE, "real")
    worker.wait_in_rotation(2, timeout=ENGINE.start_seconds)
    yield worker
    worker.delete()


@pytest.fixture
def plain(vllm_ready: Access, make_plain: PlainFactory) -> Plain:
    """The same image behind the probes of KServe, Ready."""
    made = make_plain("plain", {"containers": [vllm_container()], "volumes": VOLUMES})
    made.wait_ready(ENGINE.start_seconds)
    return made


def closed_after(worker: Worker, known: int) -> dict[str, object]:
    """The incident that followed, closed."""
    wait_for("a new incident", lambda: len(worker.incidents()) > known, timeout=RECOVERY_SECONDS)
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(len(worker.pods()), timeout=RECOVERY_SECONDS)
    return incident


def test_a_hang_of_the_real_engine_beside_the_plain_deployment(real: Worker, plain: Plain, scene: Scene) -> None:
    access = real.access
    load = Load(parallel=1, every=2.0, seconds=100, timeout=10)
    ours = Traffic.start(real, "users", ENGINE, load)
    theirs = Traffic.start(real, "users-of-plain", ENGINE, load, service=plain.name)
    wait_for("answers of both", lambda: len(ours.reports()) > 3 and len(theirs.reports()) > 3, timeout=60)
    victim, healthy = (pod["metadata"]["name"] for pod in real.pods())
    rival = plain.wait_ready(0)
    before, known = engine_id(real.pod(victim)), len(real.incidents())

    with ExitStack() as stack:
        logs = {pod: stack.enter_context(AccessLog(access, NAMESPACE, pod)) for pod in (victim, healthy)}
        wait_for("users at both replicas", lambda: all(log.completions(ours.pod) for log in logs.values()), timeout=60)
        scene.mark()
        for pod in (victim, rival):
            signal(access, NAMESPACE, pod, "STOP", find(access, NAMESPACE, pod, ENGINE.core_process))
        incident = closed_after(real, known)
        reports, plain_reports = ours.wait(180), theirs.wait(180)
        logged = {pod: log.completions(ours.pod) for pod, log in logs.items()}

    times = scene.times(victim)
    print("ours:", times.row(), f"{failed(reports)} of {len(reports)} requests failed")
    print("plain:", scene.times(rival).row(), f"{failed(plain_reports)} of {len(plain_reports)} requests failed")
    assert incident["status"]["outcome"] == "Recovered"  # type: ignore[index]
    assert engine_id(real.pod(victim)) != before
    assert not [i for i in real.incidents() if i["spec"]["podRef"]["name"] == healthy]
    assert times.out_of_rotation is not None
    cut_off = scene.story.zero + times.out_of_rotation + 1
    late = [r for r in reports if r["start"] > cut_off]
    assert late
    assert failed(late) == 0, [r for r in late if r["outcome"] != "ok"]
    assert times.recovered is not None
    back = scene.story.zero + times.recovered
    assert not [at for at in logged[victim] if cut_off < at < back], "the frozen replica got a new request"
    assert [at for at in logged[healthy] if at > cut_off], "the healthy replica's access log shows no user"
    ready = condition(real.pod(rival), "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    assert failed([r for r in plain_reports if r["start"] > cut_off]) > 0


def test_a_load_of_long_prompts_without_a_fault_raises_nothing(real: Worker) -> None:
    known = len(real.incidents())
    before = {pod["metadata"]["uid"]: engine_id(pod) for pod in real.pods()}
    load = Load(parallel=16, every=0.2, seconds=60, prompt_words=60, max_tokens=32, timeout=120)
    reports = Traffic.start(real, "crowd", ENGINE, load).wait(300)
    print(f"{len(reports)} requests, {failed(reports)} failed")
    assert failed(reports) == 0
    assert len(real.incidents()) == known, real.incidents()[known:]
    assert {pod["metadata"]["uid"]: engine_id(pod) for pod in real.pods()} == before


@pytest.mark.long
def test_five_minutes_of_sixteen_clients_with_long_prompts_raise_nothing(real: Worker) -> None:
    known = len(real.incidents())
    before = {pod["metadata"]["uid"]: engine_id(pod) for pod in real.pods()}
    load = Load(parallel=16, every=0.2, seconds=300, prompt_words=60, max_tokens=64, timeout=120)
    reports = Traffic.start(real, "crowd", ENGINE, load).wait(600)
    print(f"{len(reports)} requests, {failed(reports)} failed")
    assert failed(reports) == 0
    assert len(real.incidents()) == known, real.incidents()[known:]
    assert {pod["metadata"]["uid"]: engine_id(pod) for pod in real.pods()} == before


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    pattern: str
    sig: str
    fault: str
    env: tuple[tuple[str, str], ...] = ()
    busy: bool = False


CASES = [
    Case(name="idle", pattern="EngineCore", sig="STOP", fault="StalledStream"),
    Case(name="streaming", pattern="EngineCore", sig="STOP", fault="StalledStream", busy=True),
    Case(
        name="keepalive",
        pattern="EngineCore",
        sig="KILL",
        fault="EngineDead",
        env=(("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", "1"),),
    ),
    Case(name="frozen-api", pattern="cli.main serve", sig="STOP", fault="StalledStream"),
]


@pytest.fixture
def make_vllm(vllm_ready: Access) -> Iterator[VllmFactory]:
    made: list[Worker] = []

    def make(name: str, env: dict[str, str]) -> Worker:
        apply(vllm_ready, vllm_worker(name, NAMESPACE, replicas=1, env=env))
        made.append(Worker(vllm_ready, NAMESPACE, name))
        made[-1].wait_in_rotation(1, timeout=ENGINE.start_seconds)
        return made[-1]

    yield make
    for worker in made:
        worker.delete()


def enough(users: Traffic) -> bool:
    return len(users.reports()) > 4


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fault_of_the_real_engine_ends_in_a_proven_restart(
    case: Case, make_vllm: VllmFactory, scene: Scene
) -> None:
    worker = make_vllm(f"real-{case.name}", dict(case.env))
    access, pod = worker.access, worker.pods()[0]["metadata"]["name"]
    before = engine_id(worker.pod(pod))
    users = None
    if case.busy:
        load = Load(parallel=4, every=0.1, seconds=300, max_tokens=256, timeout=120)
        users = Traffic.start(worker, "streams", ENGINE, load)
        wait_for("streams", functools.partial(enough, users), timeout=120)
    scene.mark()
    signal(access, NAMESPACE, pod, case.sig, find(access, NAMESPACE, pod, case.pattern))
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1, timeout=RECOVERY_SECONDS)
    print(case.name, scene.times(pod).row())
    if users:
        users.stop()
    assert incident["spec"]["fault"] == case.fault
    assert incident["status"]["outcome"] == "Recovered"
    assert engine_id(worker.pod(pod)) != before


@pytest.mark.long
def test_the_slow_start_of_the_real_engine_is_no_fault(vllm_ready: Access) -> None:
    apply(vllm_ready, vllm_worker("real-slow", NAMESPACE, replicas=1))
    worker = Worker(vllm_ready, NAMESPACE, "real-slow")
    try:
        wait_for("its pod", worker.pods, timeout=60)
        begin = time.time()
        while time.time() - begin < 15:
            assert not any(map(in_rotation, worker.pods()))
            time.sleep(1)
        worker.wait_in_rotation(1, timeout=ENGINE.start_seconds)
        assert worker.incidents() == []
        assert worker.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 0
    finally:
        worker.delete()
