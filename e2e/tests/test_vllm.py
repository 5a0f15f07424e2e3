"""The real vLLM, beside a plain Deployment of the same image: who notices, who serves, what is recorded.

The short form (one hang, one load without a fault) is part of `make test`; the rest, and the other faults in
`test_vllm_faults`, is `make e2e-vllm`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.lab.access import apply, wait_for
from e2e.lab.access_logs import AccessLog
from e2e.lab.calm import undisturbed
from e2e.lab.engines import ENGINES
from e2e.lab.manifests import vllm_pod, vllm_worker
from e2e.lab.processes import find, signal
from e2e.lab.timeline import condition, engine_id
from e2e.lab.traffic import Load, Traffic, failed
from e2e.lab.witnesses import Witnesses
from e2e.lab.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.lab.access import Access
    from e2e.lab.plain import Plain
    from e2e.tests.conftest import Compare, PlainFactory, Scene

pytestmark = [pytest.mark.cluster, pytest.mark.vllm, pytest.mark.alone]

NAMESPACE = "models"
ENGINE = ENGINES["vllm"]
RECOVERY_SECONDS = 420


@pytest.fixture(scope="module")
def begun(vllm_ready: Access) -> Iterator[Worker]:
    """Two replicas of the real vLLM, not awaited."""
    apply(vllm_ready, vllm_worker("real", NAMESPACE))
    worker = Worker(vllm_ready, NAMESPACE, "real")
    yield worker
    worker.delete()


@pytest.fixture
def plain(begun: Worker, make_plain: PlainFactory) -> Plain:
    """The same image behind the probes of KServe, Ready; it loads beside the replicas of the worker."""
    del begun
    made = make_plain("plain", vllm_pod())
    made.wait_ready(ENGINE.start_seconds)
    return made


@pytest.fixture
def real(begun: Worker) -> Worker:
    """In rotation, shared by the cases that leave it healthy."""
    begun.wait_in_rotation(2, timeout=ENGINE.start_seconds)
    return begun


def closed_after(worker: Worker, known: int) -> dict[str, object]:
    """The incident that followed, closed."""
    wait_for("a new incident", lambda: len(worker.incidents()) > known, timeout=RECOVERY_SECONDS)
    incident = worker.wait_incident(RECOVERY_SECONDS, phase="Closed")
    worker.wait_in_rotation(len(worker.pods()), timeout=RECOVERY_SECONDS)
    return incident


def test_a_hang_of_the_real_engine_beside_the_plain_deployment(
    plain: Plain, real: Worker, scene: Scene, compare: Compare
) -> None:
    access = real.access
    load = Load(parallel=1, every=2.0, seconds=2 * RECOVERY_SECONDS, timeout=10)  # both are stopped when all is seen
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
        heard = Witnesses.hear(ours, logs, victim, healthy, since=time.time())

    ours.stop()
    scene.wait_settled(rival, ENGINE.start_seconds)
    plain_reports = theirs.reports()
    theirs.stop()
    times = scene.times(victim)
    compare("vLLM: hang under users", scene.side(victim, heard.reports), scene.side(rival, plain_reports))
    assert incident["status"]["outcome"] == "Recovered"  # type: ignore[index]
    assert engine_id(real.pod(victim)) != before
    assert not [i for i in real.incidents() if i["spec"]["podRef"]["name"] == healthy]
    ready = condition(real.pod(rival), "Ready")
    assert ready is not None
    assert ready["status"] == "True"
    heard.check(scene.story.zero, times, plain_reports)


@pytest.mark.parametrize(
    ("seconds", "max_tokens"),
    [pytest.param(60, 32, id="one-minute"), pytest.param(300, 64, id="five-minutes", marks=pytest.mark.long)],
)
def test_sixteen_clients_with_long_prompts_and_no_fault_raise_nothing(
    real: Worker, seconds: int, max_tokens: int
) -> None:
    load = Load(parallel=16, every=0.2, seconds=seconds, prompt_words=60, max_tokens=max_tokens, timeout=120)
    with undisturbed(real):
        reports = Traffic.start(real, "crowd", ENGINE, load).wait(2 * seconds + 180)
    print(f"{len(reports)} requests, {failed(reports)} failed")
    assert len(reports) >= load.parallel, "not everybody got through"
    assert failed(reports) == 0
