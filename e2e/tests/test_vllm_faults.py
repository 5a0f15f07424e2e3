"""More faults of the real vLLM, each beside a plain Deployment that meets the same; and a slow start, which is none.

Two engines at most run at a time: one replica of each, new for each case.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from e2e.lab.access import wait_for
from e2e.lab.engines import ENGINES
from e2e.lab.manifests import vllm_pod
from e2e.lab.processes import find, signal
from e2e.lab.timeline import condition, engine_id, engine_status, in_rotation, restarts
from e2e.lab.traffic import Load, Traffic

if TYPE_CHECKING:
    from e2e.lab.access import Access
    from e2e.tests.conftest import Compare, PlainFactory, Scene, VllmFactory

pytestmark = [pytest.mark.cluster, pytest.mark.vllm, pytest.mark.alone, pytest.mark.long, pytest.mark.timeout(1500)]

NAMESPACE = "models"
ENGINE = ENGINES["vllm"]
RECOVERY_SECONDS = 420
STREAMS = Load(parallel=4, every=0.1, seconds=900, max_tokens=256, timeout=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`pattern` is what the command line of the process that gets the signal contains.

    `plain_restarts`: whether the probes of the plain Deployment see it too; else that one stays Ready.
    """

    name: str
    told: str
    pattern: str
    sig: str
    fault: str
    env: tuple[tuple[str, str], ...] = ()
    users: bool = True
    plain_restarts: bool = False

    def strike(self, access: Access, pod: str) -> None:
        pids = find(access, NAMESPACE, pod, self.pattern)
        assert pids, f"no process of {pod} is named {self.pattern}"
        signal(access, NAMESPACE, pod, self.sig, pids)


CASES = [
    Case(
        name="idle",
        told="SIGSTOP EngineCore while idle",
        pattern="EngineCore",
        sig="STOP",
        fault="StalledStream",
        users=False,
    ),
    Case(
        name="streaming",
        told="SIGSTOP EngineCore while streaming",
        pattern="EngineCore",
        sig="STOP",
        fault="StalledStream",
    ),
    Case(
        name="keepalive",
        told="SIGKILL EngineCore, VLLM_KEEP_ALIVE_ON_ENGINE_DEATH=1",
        pattern="EngineCore",
        sig="KILL",
        fault="EngineDead",
        env=(("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", "1"),),
        plain_restarts=True,
    ),
    Case(
        name="frozen-api",
        told="SIGSTOP vLLM's API server",
        pattern="cli.main serve",
        sig="STOP",
        fault="StalledStream",
        plain_restarts=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fault_of_the_real_engine_ends_in_a_proven_restart(
    case: Case, make_vllm: VllmFactory, make_plain: PlainFactory, scene: Scene, compare: Compare
) -> None:
    engine = vllm_pod(dict(case.env))
    worker, plain = make_vllm(f"real-{case.name}", engine), make_plain(f"plain-{case.name}", engine)
    access = worker.access
    rival = plain.wait_ready(ENGINE.start_seconds)
    worker.wait_in_rotation(1, timeout=ENGINE.start_seconds)
    pod = worker.only_pod()
    before = engine_id(worker.pod(pod))
    services = {"users": worker.name, "users-of-plain": plain.name} if case.users else {}
    users = [Traffic.start(worker, name, ENGINE, STREAMS, service=service) for name, service in services.items()]

    def streaming() -> bool:
        return all(len(each.reports()) > 4 for each in users)

    wait_for("streams", streaming, timeout=180)
    scene.mark()
    case.strike(access, pod)
    case.strike(access, rival)
    struck = time.time()
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(1, timeout=RECOVERY_SECONDS)
    for ours in users[:1]:
        ours.wait_answers(1, since=time.time())
    scene.wait_settled(rival, ENGINE.start_seconds)
    reports = [each.reports() for each in users]
    for each in users:
        each.stop()
    our_reports, plain_reports = reports or (None, None)
    compare(f"vLLM: {case.told}", scene.side(pod, our_reports), scene.side(rival, plain_reports))
    assert incident["spec"]["fault"] == case.fault
    assert incident["status"]["outcome"] == "Recovered"
    assert engine_id(worker.pod(pod)) != before
    times, plain_times = scene.times(pod), scene.times(rival)
    assert None not in (times.out_of_rotation, times.restarted, times.recovered)
    assert (plain_times.restarted is not None) == case.plain_restarts
    assert (plain_times.out_of_rotation is not None) == case.plain_restarts
    answered = [r for r in plain_reports or [] if r["outcome"] == "ok" and r["start"] > struck]
    assert not answered or case.plain_restarts, "the plain one answered while stopped"


SLOW_SECONDS = 60


def test_the_slow_start_of_the_real_engine_is_no_fault(make_vllm: VllmFactory, scene: Scene) -> None:
    """No row beside a plain Deployment: nothing fails, so nobody has to notice."""
    begin = scene.mark()
    worker = make_vllm("real-slow", vllm_pod(start_delay=SLOW_SECONDS))
    worker.wait_in_rotation(1, timeout=SLOW_SECONDS + ENGINE.start_seconds)
    pod = worker.only_pod()
    state = worker.pod(pod)
    started = datetime.fromisoformat(engine_status(state)["state"]["running"]["startedAt"]).timestamp()
    states = [seen for seen in scene.pods.seen if seen.at > begin and seen.object["metadata"]["name"] == pod]
    entered = min(seen.at for seen in states if in_rotation(seen.object))
    assert entered > started + SLOW_SECONDS, "in rotation before vLLM was even started"
    early = [seen.object for seen in states if seen.at < entered]
    assert early, "nothing was seen of it while it started"
    ready = [condition(each, "Ready") for each in early]
    assert not [each for each in ready if each and each["status"] == "True"]
    assert worker.incidents() == []
    assert restarts(state) == 0
    assert state["status"]["initContainerStatuses"][-1]["restartCount"] == 0
