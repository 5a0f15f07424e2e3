"""The watchdog's own recorder, under its own policies, on a real API server: what it has to write is let through."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from llm_watchdog.api.incident import PodRef
from llm_watchdog.api.reasons import GrantableStep, Mode, Phase
from llm_watchdog.clock import Clock
from llm_watchdog.core.case import Stage
from llm_watchdog.core.situation import Identity
from llm_watchdog.recorder.documents import happenings
from llm_watchdog.recorder.kube import Kube, TokenFromFile, in_cluster_transport
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from tests.admission.objects import OWN_POD, WORKER
from tests.sidecar.situations import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from llm_watchdog.core.rotation import Rotation
    from tests.admission.conftest import Guarded

pytestmark = pytest.mark.apiserver


class Rig:
    """A world whose record goes to the API server, and whose views come from there."""

    def __init__(self, guarded: Guarded, token: Path) -> None:
        self.guarded = guarded
        uid = guarded.uids[OWN_POD]
        who = Identity(worker=WORKER, namespace=guarded.namespace, pod=PodRef(name=OWN_POD, uid=uid, node="node-1"))
        assert guarded.api.certificate_authority
        clock = Clock()
        kube = Kube(
            guarded.api.url,
            auth=TokenFromFile(token),
            transport=in_cluster_transport(guarded.api.certificate_authority),
            now=clock.now,
        )
        self.recorder = KubernetesRecorder(kube, who, clock.now)
        self.world = World(facts={"identity": who, "gate": None})

    @property
    def rotation(self) -> Rotation:
        assert self.world.last
        return self.world.last.rotation

    async def record(self) -> None:
        """Until the API server holds it all."""
        self.recorder.submit(self.world.replica.cases, self.rotation)
        cases = self.world.replica.cases
        await self.until(
            lambda: all(
                self.recorder.view().acknowledged.get(case.name) == case.revision or case.stage is Stage.CLAIMING
                for case in cases
            )
        )

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 - it is the other side that is waited for
                await asyncio.sleep(0.02)
        self.world.views = dict(self.recorder.view().incidents)

    def stored(self) -> dict[str, object]:
        found: dict[str, object] = self.guarded.read("llmi", self.world.case.name)["status"]
        return found

    def grant(self, step: str | None) -> None:
        at = "2026-11-21T03:00:00Z"
        given = {"step": step, "grantedAt": at, "expiresAt": at} if step else None
        patch = json.dumps({"status": {"grant": given}})
        self.guarded.kubectl("patch", "llmi", self.world.case.name, "--subresource=status", "--type=merge", "-p", patch)


@pytest.fixture
async def rig(guarded: Guarded, tmp_path: Path) -> Rig:
    token = tmp_path / "token"
    made = guarded.api.token_for(
        "llm-watchdog", namespace=guarded.namespace, pod=OWN_POD, pod_uid=guarded.uids[OWN_POD]
    )
    token.write_text(made)
    return Rig(guarded, token)


def _gate(guarded: Guarded) -> dict[str, str]:
    conditions = guarded.read("pod", OWN_POD)["status"]["conditions"]
    found: dict[str, str] = next(c for c in conditions if c["type"] == "llmworker.dev/InRotation")
    return found


async def test_the_whole_record_of_a_recovery(rig: Rig) -> None:
    """Grant, claim, restart, proof, as the API server takes them from the watchdog's own token."""
    world, guarded = rig.world, rig.guarded
    work = asyncio.create_task(rig.recorder.run())
    try:
        world.settle().healthy().sick()
        await rig.record()
        assert rig.stored()["phase"] == "AwaitingGrant"
        await rig.until(lambda: rig.recorder.view().gate is not None)
        assert (_gate(guarded)["status"], _gate(guarded)["reason"]) == ("False", "Faulty")

        rig.grant("Restart")
        await rig.until(lambda: rig.recorder.view().incidents[world.case.name].fresh_grant(GrantableStep.RESTART, None))
        world.settle()
        assert world.case.stage is Stage.CLAIMING
        await rig.record()
        await rig.until(lambda: rig.recorder.view().incidents[world.case.name].phase is Phase.ACTING)
        assert rig.stored()["grant"], "the operator's field is left alone"
        world.settle()
        assert len(world.orders) == 1
        await rig.record()

        world.facts["engine"] = replace(world.facts["engine"], container_id="containerd://b")
        world.settle().healthy()
        await rig.record()
        stored = rig.stored()
        assert (stored["phase"], stored["outcome"]) == ("Closed", "Recovered")
        await rig.until(lambda: bool((gate := rig.recorder.view().gate) and gate.in_rotation))
        assert _gate(guarded)["status"] == "True"
        about = f"involvedObject.uid={guarded.uids[OWN_POD]}"
        events = json.loads(guarded.kubectl("get", "events", "--field-selector", about, "-o", "json"))["items"]
        told = {event["metadata"]["name"] for event in events}
        assert {f"{world.case.name}.{happening.key}" for happening in happenings(world.case)} <= told
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        guarded.kubectl("delete", "llmi", world.case.name)
    assert rig.recorder.own_errors == 0


async def test_a_grant_that_is_withdrawn_under_the_claim_is_refused_by_the_server(rig: Rig) -> None:
    world = rig.world
    work = asyncio.create_task(rig.recorder.run())
    try:
        world.settle().healthy().sick()
        await rig.record()
        rig.grant("Restart")
        await rig.until(lambda: rig.recorder.view().incidents[world.case.name].fresh_grant(GrantableStep.RESTART, None))
        world.settle()
        rig.grant(None)
        rig.recorder.submit(world.replica.cases, rig.rotation)
        await rig.until(lambda: rig.recorder.view().incidents[world.case.name].grant is None)
        assert rig.stored()["phase"] == "AwaitingGrant"
        world.settle()
        assert world.case.stage is Stage.AWAITING
        assert not world.orders
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        rig.guarded.kubectl("delete", "llmi", world.case.name)


async def test_the_mode_is_read_from_the_worker(rig: Rig) -> None:
    worker = {
        "apiVersion": "llmworker.dev/v1alpha1",
        "kind": "LLMWorker",
        "metadata": {"name": WORKER},
        "spec": {
            "engine": {"type": "vllm"},
            "template": {"spec": {"containers": [{"name": "engine", "image": "none"}]}},
        },
    }
    rig.guarded.kubectl("apply", "-f", "-", input=json.dumps(worker))
    work = asyncio.create_task(rig.recorder.run())
    try:
        await rig.until(lambda: rig.recorder.view().modes is not None)
        patch = json.dumps({"spec": {"watchdog": {"mode": "Observe"}}})
        rig.guarded.kubectl("patch", "llmw", WORKER, "--type=merge", "-p", patch)
        await rig.until(lambda: (modes := rig.recorder.view().modes) is not None and modes.mode is Mode.OBSERVE)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        rig.guarded.kubectl("delete", "llmw", WORKER)


async def test_a_wrong_address_is_an_unreachable_server(rig: Rig, tmp_path: Path) -> None:
    clock = Clock()
    assert rig.guarded.api.certificate_authority
    transport: httpx.AsyncBaseTransport = in_cluster_transport(rig.guarded.api.certificate_authority)
    token = tmp_path / "token"
    token.write_text("any")
    kube = Kube("https://127.0.0.1:9", auth=TokenFromFile(token), transport=transport, now=clock.now)
    recorder = KubernetesRecorder(kube, rig.world.facts["identity"], clock.now)
    work = asyncio.create_task(recorder.run())
    await rig.until(lambda: recorder.view().unreachable_since is not None)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
