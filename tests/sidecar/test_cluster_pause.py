"""The switch of the whole cluster, as it reaches a watchdog: by its worker's condition and by the mounted document."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from llm_watchdog import loop as loop_module
from llm_watchdog.api.document import decode, encode
from llm_watchdog.api.policy import EngineTarget, EngineType, PausedPolicy, Policy
from llm_watchdog.api.reasons import FaultClass, GrantableStep, Mode, Outcome, RestartMethod
from llm_watchdog.clock import Clock
from llm_watchdog.core.case import Stage
from llm_watchdog.core.replica import Replica
from llm_watchdog.core.situation import Modes
from llm_watchdog.recorder.worker import modes_of
from llm_watchdog.settings import modes_of as modes_of_document
from tests.sidecar.situations import NEW, WHO, ordered, serving
from tests.sidecar.test_loop import Pod, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHY = "a driver kills the nodes"
PAUSED = Modes(cluster_paused=WHY)
CONDITION = {"type": "Paused", "reason": "WholeCluster", "status": "True", "message": WHY}


def test_while_the_cluster_is_paused_nothing_begins_and_the_record_says_why() -> None:
    world = serving(modes=PAUSED).sick()
    assert not world.in_rotation, "out of rotation goes on"
    world.look(600.0).settle()
    assert (world.case.stage, world.case.status.requested_step) == (Stage.WATCHING, None)
    assert world.case.status.steps == []
    assert world.case.status.message.endswith(f"paused: the whole cluster, {WHY}.")
    world.settle(modes=Modes())
    assert world.case.status.requested_step is GrantableStep.RESTART
    assert "paused" not in world.case.status.message


def test_nobody_helps_himself_in_an_outage_of_the_api_server() -> None:
    world = serving(modes=PAUSED)
    world.at = 1000.0
    world.facts["api_unreachable_since"] = world.now
    world.sick().look(600.0).settle()
    assert not world.orders


def test_what_has_begun_is_proven_and_closed() -> None:
    world = ordered().settle(modes=PAUSED, engine=NEW).healthy()
    assert world.case.status.outcome is Outcome.RECOVERED


@pytest.mark.parametrize(
    ("seen", "document", "pause"),
    [
        ("", "", ""),
        (WHY, "", WHY),
        ("", WHY, WHY),
        (WHY, "an older reason", WHY),
    ],
)
def test_one_of_the_two_ways_is_enough(seen: str, document: str, pause: str) -> None:
    modes = Modes(mode=Mode.OBSERVE, paused="at this worker", cluster_paused=seen)
    merged = modes.paused_also_by(Modes(mode=Mode.OFF, paused="another", cluster_paused=document))
    assert (merged.mode, merged.paused, merged.cluster_paused) == (Mode.OBSERVE, "at this worker", pause)
    assert merged.pause == (f"the whole cluster, {pause}" if pause else "at this worker")


def test_a_mode_that_does_not_enforce_is_named_before_the_pause() -> None:
    modes = Modes(mode=Mode.OBSERVE, cluster_paused=WHY)
    assert modes.held(FaultClass.ENGINE_DEAD) == "the mode is Observe now"


@pytest.mark.parametrize(
    ("status", "pause"),
    [
        ({}, ""),
        ({"conditions": None}, ""),
        ({"conditions": [CONDITION]}, WHY),
        ({"conditions": [{**CONDITION, "message": ""}]}, "no reason given"),
        ({"conditions": [{**CONDITION, "message": "x" * 300}]}, "x" * 253),
        ({"conditions": [{**CONDITION, "status": "False"}]}, ""),
        ({"conditions": [{**CONDITION, "reason": "ThisWorker"}]}, ""),
        ({"conditions": [{"type": "Ready", "status": "True"}, CONDITION]}, WHY),
    ],
)
def test_the_condition_of_the_worker(status: dict[str, Any], pause: str) -> None:
    assert modes_of({"spec": {}, "status": status}).cluster_paused == pause


def test_the_document() -> None:
    policy = Policy(engine=EngineTarget(type=EngineType.VLLM), cluster_paused=PausedPolicy(reason=WHY))
    assert modes_of_document(decode(Policy, encode(policy))) == PAUSED
    assert modes_of_document(Policy(engine=policy.engine)) == Modes()


def test_a_journal_keeps_it_and_one_of_an_earlier_version_has_none() -> None:
    kept = encode(Replica(modes=PAUSED))
    assert decode(Replica, kept).modes == PAUSED
    del kept["modes"]["clusterPaused"]
    assert decode(Replica, kept).modes == Modes()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(loop_module, "APART_SECONDS", 0.005)


async def until_it(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(8):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def document(directory: Path, paused: str) -> None:
    """As the kubelet does it: another file takes the name."""
    said = {"clusterPaused": {"reason": paused}} if paused else {}
    (directory / "new").write_text(json.dumps({"engine": {"type": "vllm"}, **said}))
    (directory / "new").rename(directory / "policy.json")


def worker(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": WHO.worker}, "spec": {}, "status": {"conditions": list(conditions)}}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("way", ["condition", "document"])
async def test_either_way_alone_holds_a_hang_without_an_api_server_and_over_a_restart(tmp_path: Path, way: str) -> None:
    """Then it ends, by both, and the restart is asked for."""
    pod = Pod(tmp_path, RestartMethod.ALL_CONTAINERS, None)
    if way == "document":
        document(tmp_path, WHY)
    pod.api.put("llmworkers", worker(*([CONDITION] if way == "condition" else [])))
    living = asyncio.create_task(pod.live())
    try:
        await until_it(lambda: pod.api.gates[-1:] == [("True", "Serving")])
        await until_it(lambda: pod.loop and pod.loop.replica.modes and pod.loop.replica.modes.pause)
        pod.api.down = True
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        living = asyncio.create_task(pod.live())
        pod.engine.hung_at = Clock.monotonic()
        await until_it(lambda: pod.starts == 2 and pod.loop and pod.loop.replica.cases)
        assert pod.loop
        assert pod.loop.replica.modes
        assert pod.loop.replica.modes.cluster_paused == WHY
        assert pod.loop.replica.cases[0].pause_note
        document(tmp_path, "")
        await until_it(lambda: not pod.loop._policy.policy.cluster_paused)  # type: ignore[union-attr]
        await pod.loop.settle()
        assert pod.loop.replica.modes.cluster_paused == WHY, "what the object says now is not known"
        pod.api.put("llmworkers", worker())
        pod.api.down = False
        await until(pod, "AwaitingGrant")  # type: ignore[arg-type]
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    assert pod.engine.kills == []
