"""The record arrives: complete, once, after any outage; a claim holds only against the version that granted it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.reasons import FaultClass, GrantableStep, Mode, Phase, RotationReason, StepOutcome
from llm_watchdog.clock import Clock
from llm_watchdog.core.case import Case, Stage
from llm_watchdog.core.precaution import Precaution
from llm_watchdog.core.rotation import Rotation
from llm_watchdog.recorder.documents import happenings
from llm_watchdog.recorder.kube import Kube, KubeError, TokenFromFile, in_cluster_url
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from llm_watchdog.recorder.worker import modes_of
from tests.sidecar.fake_api import FakeApi
from tests.sidecar.situations import START, WHO, World, ordered, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

OUT = Rotation(in_rotation=False, reason=RotationReason.FAULTY, message="no token")
IN = Rotation(in_rotation=True, reason=RotationReason.SERVING, message="canary passed")


@asynccontextmanager
async def recording(api: FakeApi) -> AsyncIterator[KubernetesRecorder]:
    clock = Clock()
    recorder = KubernetesRecorder(api.kube(clock.now), WHO, clock.now)
    work = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert recorder.own_errors == 0


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - it is the other side that is waited for
            await asyncio.sleep(0.01)


def acknowledged(recorder: KubernetesRecorder, case: Case) -> bool:
    return recorder.view().acknowledged.get(case.name) == case.revision


def recovered() -> Case:
    world = ordered()
    world.facts["engine"] = replace(world.facts["engine"], container_id="containerd://b")
    return world.settle().healthy().case


async def test_created_then_status_then_events() -> None:
    api, case = FakeApi(), serving().sick().case
    async with recording(api) as recorder:
        assert recorder.view().has_operator, "who can evict its pod"
        recorder.submit([case], OUT)
        await until(lambda: acknowledged(recorder, case))
    assert api.writes[:2] == [f"create llmincidents {case.name}", f"status {case.name} AwaitingGrant"]
    held = api.objects["llmincidents"][case.name]
    assert held["metadata"]["labels"]["llmworker.dev/pod-uid"] == WHO.pod.uid
    assert held["status"]["requestedStep"] == "Restart"
    assert "grant" not in held["status"]
    assert len(api.objects["events"]) == len(happenings(case))


@pytest.mark.parametrize("refusal", [(401, "Unauthorized"), (409, "Conflict"), (429, "TooManyRequests")])
async def test_an_event_that_is_refused_for_the_moment_is_told_later(refusal: tuple[int, str]) -> None:
    api, case = FakeApi(), serving().sick().case
    api.refused_events = [refusal] * 2
    flushed = Precaution(since=START, outcome=StepOutcome.SUCCEEDED, message="the prefix cache was flushed")
    async with recording(api) as recorder:
        recorder.submit([case], OUT, flushed)
        await until(lambda: acknowledged(recorder, case))
        await until(lambda: len(api.objects["events"]) == len(happenings(case)) + 1)
    assert not api.refused_events


async def test_an_event_that_would_be_refused_again_holds_nothing_up() -> None:
    api, case = FakeApi(), serving().sick().case
    api.refused_events = [(403, "Forbidden")]
    async with recording(api) as recorder:
        recorder.submit([case], OUT)
        await until(lambda: acknowledged(recorder, case))
    assert len(api.objects["events"]) == len(happenings(case)) - 1


async def test_after_an_outage_everything_arrives_once() -> None:
    api, case = FakeApi(), recovered()
    api.down = True
    async with recording(api) as recorder:
        recorder.submit([case], OUT)
        await until(lambda: recorder.view().unreachable_since is not None)
        api.down = False
        await until(lambda: acknowledged(recorder, case))
        assert recorder.view().unreachable_since is None
    created = [write for write in api.writes if write.startswith("create")]
    assert len(created) == len(set(created)) == 1 + len(happenings(case))
    assert api.objects["llmincidents"][case.name]["status"]["outcome"] == "Recovered"


async def test_a_second_process_tells_nothing_twice() -> None:
    api, case = FakeApi(), recovered()
    for _ in range(2):
        async with recording(api) as recorder:
            recorder.submit([case], OUT)
            await until(lambda: acknowledged(recorder, case))
    assert len(api.writes) == 2 + len(happenings(case))


async def test_a_flush_after_a_wake_is_told_once_whatever_is_down() -> None:
    api = FakeApi()
    taken = Precaution(since=START, outcome=StepOutcome.SUCCEEDED, message="the prefix cache was flushed")
    for down in (True, False):
        async with recording(api) as recorder:
            api.down = down
            recorder.submit([], IN, replace(taken, outcome=None))
            recorder.submit([], IN, taken)
            if down:
                await until(lambda: recorder.view().unreachable_since is not None)
                api.down = False
            await until(lambda: api.objects["events"])
    [told] = api.objects["events"].values()
    assert (told["reason"], told["involvedObject"]["uid"]) == ("FlushCacheSucceeded", WHO.pod.uid)
    assert len([write for write in api.writes if "events" in write]) == 1


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_that_cannot_serve_counts_as_unreachable(status: int) -> None:
    api = FakeApi()
    api.error = status
    async with recording(api) as recorder:
        recorder.submit([serving().sick().case], OUT)
        await until(lambda: recorder.view().unreachable_since is not None)


async def test_a_refusal_is_an_answer() -> None:
    api = FakeApi()
    api.error = 403
    async with recording(api) as recorder:
        recorder.submit([serving().sick().case], OUT)
        await asyncio.sleep(0.1)
        assert recorder.view().unreachable_since is None
        api.error = None
        await until(lambda: bool(api.objects["llmincidents"]))


async def test_a_grant_is_seen_and_claimed_against_its_version() -> None:
    api, world = FakeApi(), serving().sick()
    async with recording(api) as recorder:
        recorder.submit([world.case], OUT)
        await until(lambda: acknowledged(recorder, world.case))
        api.grant(world.case.name, "Restart")
        await until(lambda: recorder.view().incidents[world.case.name].fresh_grant(GrantableStep.RESTART, None))
        world.views = dict(recorder.view().incidents)
        world.settle()
        assert world.case.stage is Stage.CLAIMING
        recorder.submit([world.case], OUT)
        await until(lambda: recorder.view().incidents[world.case.name].phase is Phase.ACTING)
    held = api.objects["llmincidents"][world.case.name]["status"]
    assert held["grant"]["step"] == "Restart"
    assert held["steps"][-1]["step"] == "Restart"


async def test_a_grant_that_was_withdrawn_meanwhile_is_not_claimed() -> None:
    api, world = FakeApi(), serving().sick()
    async with recording(api) as recorder:
        recorder.submit([world.case], OUT)
        await until(lambda: acknowledged(recorder, world.case))
        api.grant(world.case.name, "Restart")
        await until(lambda: recorder.view().incidents[world.case.name].grant is not None)
        world.views = dict(recorder.view().incidents)
        world.settle()
        api.grant(world.case.name, None)
        recorder.submit([world.case], OUT)
        await until(lambda: recorder.view().incidents[world.case.name].grant is None)
    assert api.objects["llmincidents"][world.case.name]["status"]["phase"] == "AwaitingGrant"


async def test_the_gate_is_written_until_it_says_so_and_not_again() -> None:
    api = FakeApi()
    async with recording(api) as recorder:
        recorder.submit([], OUT)
        await until(lambda: recorder.view().gate is not None)
        recorder.submit([], OUT)
        api.down = True
        recorder.submit([], IN)
        await asyncio.sleep(0.05)
        gate = recorder.view().gate
        assert gate is not None
        assert not gate.in_rotation
        api.down = False
        await until(lambda: len(api.gates) == 2)
    assert api.gates == [("False", "Faulty"), ("True", "Serving")]


async def test_a_gate_that_says_it_already_is_not_written() -> None:
    api = FakeApi()
    api.pod["status"]["conditions"] = [{"type": "llmworker.dev/InRotation", "status": "True", "reason": "Serving"}]
    async with recording(api) as recorder:
        recorder.submit([], IN)
        await until(lambda: recorder.view().gate is not None)
        await asyncio.sleep(0.05)
    assert api.gates == []


async def test_the_container_id_is_never_a_stale_one() -> None:
    api = FakeApi()
    async with recording(api) as recorder:
        recorder.submit([serving().sick().case], OUT)
        await until(lambda: recorder.view().container_id == "containerd://a")
        api.down = True
        await until(lambda: recorder.view().container_id is None)


async def test_what_the_other_replicas_answer_comes_with_the_own_pod_and_goes() -> None:
    api = FakeApi()
    async with recording(api) as recorder:
        recorder.submit([serving().sick().case], OUT)
        for annotations in ({"llmworker.dev/reference-fingerprint": "{}"}, {}):
            api.pod["metadata"]["annotations"] = annotations
            said = "{}" if annotations else ""
            await until(lambda: recorder.view().gate is not None and recorder.view().reference == said)  # noqa: B023


async def test_modes_come_from_the_worker_at_once() -> None:
    api = FakeApi()
    async with recording(api) as recorder:
        for mode in (Mode.ENFORCE, Mode.OBSERVE):
            api.put("llmworkers", {"metadata": {"name": "qwen"}, "spec": {"watchdog": {"mode": mode.value}}})
            await until(lambda: (modes := recorder.view().modes) is not None and modes.mode is mode)  # noqa: B023


async def test_a_pause_comes_from_the_worker_at_once_and_goes() -> None:
    api = FakeApi()
    async with recording(api) as recorder:
        for paused in ({"paused": {"reason": "a new driver"}}, {}):
            api.put("llmworkers", {"metadata": {"name": "qwen"}, "spec": {"watchdog": paused}})
            reason = "a new driver" if paused else ""
            await until(lambda: (modes := recorder.view().modes) is not None and modes.paused == reason)  # noqa: B023


@pytest.mark.parametrize(
    ("paused", "reason"),
    [
        (None, ""),
        ({"reason": "a new driver"}, "a new driver"),
        ({"reason": "x" * 300}, "x" * 253),
        ({}, "no reason given"),
        ({"reason": ""}, "no reason given"),
    ],
)
def test_a_pause_of_a_worker(paused: object, reason: str) -> None:
    assert modes_of({"spec": {"watchdog": {"paused": paused}}}).paused == reason


def test_modes_of_a_worker() -> None:
    worker = {"spec": {"watchdog": {"detectors": {"stalledStream": {"mode": "Observe"}}}}}
    assert modes_of(worker).overrides == {"StalledStream": Mode.OBSERVE}
    assert modes_of({"spec": {}}).mode is Mode.ENFORCE
    assert modes_of({"spec": {"watchdog": {"mode": "Off"}}}).ignored == frozenset(FaultClass)
    with pytest.raises(ValueError, match="Sometimes"):
        modes_of({"spec": {"watchdog": {"mode": "Sometimes"}}})


async def test_a_deleted_incident_is_written_again() -> None:
    api, case = FakeApi(), serving().sick().case
    async with recording(api) as recorder:
        recorder.submit([case], OUT)
        await until(lambda: acknowledged(recorder, case))
        api.objects["llmincidents"].clear()
        later = case.with_status(occurrences=2)
        later = replace(later, revision=case.revision + 1)
        recorder.submit([later], OUT)
        await until(lambda: acknowledged(recorder, later))
    assert case.name in api.objects["llmincidents"]


@pytest.mark.parametrize("closed", [True, False])
async def test_a_name_of_an_earlier_life(closed: bool) -> None:  # noqa: FBT001
    """The journal was lost: an open incident is gone on with, a closed one keeps its name."""
    api = FakeApi()
    earlier = recovered() if closed else ordered().case
    async with recording(api) as recorder:
        recorder.submit([earlier], OUT)
        await until(lambda: acknowledged(recorder, earlier))
    world = World()
    world.at = 500.0
    world.settle().healthy().sick()
    assert world.case.name == earlier.name
    async with recording(api) as recorder:
        recorder.submit([world.case], OUT)
        await until(lambda: bool(recorder.view().taken))
        world.taken = dict(recorder.view().taken)
        world.settle()
        if closed:
            assert world.case.name.endswith("-2")
        else:
            assert world.case.incident.spec == earlier.incident.spec
            assert world.case.stage is Stage.VERIFYING
            assert not world.orders
        recorder.submit([world.case], OUT)
        await until(lambda: acknowledged(recorder, world.case))


async def test_a_token_that_cannot_be_read_is_no_outage(tmp_path: Path) -> None:
    api, clock = FakeApi(), Clock()
    kube = Kube("https://api", auth=TokenFromFile(tmp_path / "t"), transport=api.transport, now=clock.now)
    with pytest.raises(KubeError, match="NoToken"):
        await kube.request("GET", "/version")
    assert kube.unreachable_since is None


@pytest.mark.parametrize(("host", "url"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")])
def test_the_address_of_the_api_server(host: str, url: str) -> None:
    assert in_cluster_url({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}) == url
