"""The loop and all its real parts but the engine, killed at every point of an incident: none doubled, none lost."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from llm_watchdog import loop as loop_module
from llm_watchdog import orders
from llm_watchdog.actions.restart import InPlaceRestart
from llm_watchdog.api import names
from llm_watchdog.api.reasons import FaultClass, Phase, RestartMethod, VerdictState
from llm_watchdog.clock import Clock
from llm_watchdog.core.case import Stage
from llm_watchdog.crash_points import CrashPoints
from llm_watchdog.journal import Journal
from llm_watchdog.loop import Loop, newest_time
from llm_watchdog.recorder import pod as pod_module
from llm_watchdog.recorder.kubernetes import KubernetesRecorder
from llm_watchdog.recorder.log import tell
from llm_watchdog.settings import PodInfo, PolicyFile
from tests.sidecar.fake_api import FakeApi
from tests.sidecar.hanging import Never, Watcher
from tests.sidecar.situations import WHO

if TYPE_CHECKING:
    from pathlib import Path


UNUSED = (Stage.CLOSED, Stage.FLUSHING, Stage.REPLACING, Stage.ABORTING)  # a hang is neither flushed nor aborted
STAGES = [stage for stage in Stage if stage not in UNUSED]


class KilledError(BaseException):
    """As by SIGKILL: nothing is cleaned up."""


class Killer(CrashPoints):
    def reached(self, point: str) -> None:
        if point == self._at and not self._marker.exists():
            self._marker.touch()
            raise KilledError


@dataclass
class Engine:
    """Hangs until it is restarted."""

    run: int = 1
    hung_at: float | None = None
    kills: list[str] = field(default_factory=list)

    def restart(self, why: str) -> None:
        self.run += 1
        self.hung_at = None
        self.kills.append(why)


class Pod:
    """A container with a supervisor; the kubelet and the operator, too."""

    def __init__(self, directory: Path, method: RestartMethod, crash_at: str | None) -> None:
        self.directory = directory
        self.crash_at = crash_at
        self.api = FakeApi()
        self.engine = Engine()
        self.starts = 0
        self.loop: Loop | None = None
        (directory / "policy.json").write_text(json.dumps({"engine": {"type": "vllm"}}))
        (directory / names.POD_INFO_RESTART_METHOD).write_text(method.value)

    async def live(self) -> None:
        """The supervisor: starts the process again whenever it ends."""
        while True:
            with suppress(KilledError):
                await self._process()

    async def _process(self) -> None:
        self.starts += 1
        journal = Journal(self.directory)
        replay = journal.replay()
        clock = Clock(newest_time(replay.replica))
        recorder = KubernetesRecorder(self.api.kube(clock.now), WHO, clock.now)
        self.loop = Loop(
            identity=WHO,
            replica=replay.replica,
            policy=PolicyFile(self.directory / "policy.json"),
            place=PodInfo(self.directory),
            watcher=Watcher(self.engine),
            recorder=recorder,
            restart=InPlaceRestart(self.directory, self.directory, self.leave),
            flush=Never(),
            power=Never(),
            abort=Never(),
            journal=journal,
            clock=clock,
            crash_points=Killer(self.crash_at, self.directory),
            jitter=timedelta(),
            tell=tell,
        )
        work = asyncio.create_task(recorder.run())
        try:
            await self.loop.run()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def leave(self, code: int) -> None:
        assert code == names.RESTART_EXIT_CODE
        refusal = orders.honour(str(self.directory), orders_now())
        if not refusal:
            self.engine.restart("all containers")
            self.api.pod["status"]["containerStatuses"][0]["containerID"] = f"containerd://{self.engine.run}"
        raise KilledError

    async def kubelet(self) -> None:
        """The engine's liveness probe."""
        while True:
            if (self.directory / names.RESTART_REQUEST_FILE).exists() and self.engine.hung_at is not None:
                self.engine.restart("liveness probe")
                self.api.pod["status"]["containerStatuses"][0]["containerID"] = f"containerd://{self.engine.run}"
            await asyncio.sleep(0.02)

    async def operator(self) -> None:
        while True:
            for name, held in list(self.api.objects["llmincidents"].items()):
                status = held.get("status", {})
                if status.get("phase") == Phase.AWAITING_GRANT and "grant" not in status:
                    self.api.grant(name, status["requestedStep"])
            await asyncio.sleep(0.02)


def orders_now() -> float:
    import time  # noqa: PLC0415

    return time.time()


async def until(pod: Pod, phase: Phase) -> None:
    async with asyncio.timeout(8):
        while phase not in [held.get("status", {}).get("phase") for held in pod.api.objects["llmincidents"].values()]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def recover(pod: Pod) -> None:
    """From serving, through a hang, back to serving."""
    parties = [asyncio.create_task(work()) for work in (pod.live, pod.kubelet, pod.operator)]
    try:
        async with asyncio.timeout(8):
            while pod.api.gates[-1:] != [("True", "Serving")]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        pod.engine.hung_at = Clock.monotonic()
        await until(pod, Phase.CLOSED)
        async with asyncio.timeout(8):
            while pod.api.gates[-1] != ("True", "Serving"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        for party in parties:
            party.cancel()
        await asyncio.gather(*parties, return_exceptions=True)


async def test_what_is_found_of_a_class_that_is_off_is_told_and_nothing_follows(tmp_path: Path) -> None:
    pod = Pod(tmp_path, RestartMethod.ALL_CONTAINERS, None)
    off = {"detectors": {"stalledStream": {"mode": "Off"}}}
    (tmp_path / "policy.json").write_text(json.dumps({"engine": {"type": "vllm"}, "watchdog": off}))
    pod.api.put("llmworkers", {"metadata": {"name": WHO.worker}, "spec": {"watchdog": off}})
    pod.engine.hung_at = Clock.monotonic()
    living = asyncio.create_task(pod.live())
    try:
        async with asyncio.timeout(8):
            while pod.loop is None or pod.loop.replica.modes is None or not pod.loop.replica.cleared:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while pod.loop.verdict is None or pod.loop.verdict.state is not VerdictState.FAULTY:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert pod.loop.verdict.findings
        assert not pod.loop.condemned
        assert pod.loop.replica.modes.ignored == {FaultClass.STALLED_STREAM}
        assert pod.loop.last is not None
        assert pod.loop.last.rotation.in_rotation
        assert pod.loop.replica.cases == []
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    assert pod.api.objects["llmincidents"] == {}


async def test_a_watchdog_that_crashes_again_and_again_changes_nothing(tmp_path: Path) -> None:
    pod = Pod(tmp_path, RestartMethod.ALL_CONTAINERS, None)
    living = asyncio.create_task(pod.live())
    async with asyncio.timeout(8):
        while not pod.api.gates or pod.api.gates[-1] != ("True", "Serving"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for _ in range(10):
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        living = asyncio.create_task(pod.live())
        await asyncio.sleep(0.1)
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    assert pod.starts == 11
    assert pod.api.gates == [("False", "Starting"), ("True", "Serving")]
    assert pod.engine.kills == []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(loop_module, "APART_SECONDS", 0.005)
    monkeypatch.setattr(pod_module, "ALERT_SECONDS", 0.05)


@pytest.mark.parametrize("method", [RestartMethod.ALL_CONTAINERS, RestartMethod.LIVENESS_PROBE])
@pytest.mark.parametrize("crash_at", [None, *[f"{when}:{s}" for s in STAGES for when in ("decided", "journalled")]])
async def test_killed_at_any_point(tmp_path: Path, method: RestartMethod, crash_at: str | None) -> None:
    pod = Pod(tmp_path, method, crash_at)
    await recover(pod)
    assert len(pod.engine.kills) == 1, "restarted once"
    assert len(pod.api.objects["llmincidents"]) == 1, "one incident"
    (held,) = pod.api.objects["llmincidents"].values()
    assert held["status"]["outcome"] == "Recovered"
    assert [step["step"] for step in held["status"]["steps"]] == ["Drain", "Restart"]
    assert held["status"]["occurrences"] == 1
    creations = [write for write in pod.api.writes if write.startswith("create")]
    assert len(creations) == len(set(creations))
    restarts_of_the_container = 1 if method is RestartMethod.ALL_CONTAINERS else 0
    assert pod.starts == 1 + restarts_of_the_container + (crash_at is not None)
    assert pod.loop is not None
    assert pod.loop.own_errors == 0
    assert not (tmp_path / names.RESTART_REQUEST_FILE).exists()
    assert [gate for gate in pod.api.gates if gate[0] == "True"] == [("True", "Serving")] * 2, "no flapping"
