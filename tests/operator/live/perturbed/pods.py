"""A worker's pods: what the kubelet and the supervisor do, around a real watchdog and an engine in a file."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llm_watchdog import journal, orders
from llm_watchdog.api import names
from llm_watchdog.api.reasons import RestartMethod
from llm_watchdog.clock import Clock
from tests.operator.live.perturbed.programs import EngineFile, Place, start_watchdog

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess
    from llm_watchdog.core.replica import Replica
    from tests.operator.live.api import Api

KILLED = -signal.SIGKILL
SERVING = ("True", "Serving")


class Pod:
    """`tend` does what is to be done now."""

    def __init__(self, api: Api, place: Place) -> None:
        self.lives = 1
        self.place = place
        self._api = api
        self._engine = EngineFile(place.directory)
        self._run(1)
        (place.directory / "policy.json").write_text(json.dumps({"engine": {"type": "openai"}}))
        (place.directory / names.POD_INFO_RESTART_METHOD).write_text(RestartMethod.ALL_CONTAINERS)
        self._watchdog = start_watchdog(place)

    @property
    def name(self) -> str:
        return self.place.pod

    @property
    def restarts(self) -> int:
        return self._engine.run - 1

    @property
    def honoured(self) -> int:
        return len(orders.honoured(str(self.place.directory)))

    @property
    def memory(self) -> Replica | None:
        """Out of the journal."""
        return journal.newest(self.place.directory)

    @property
    def gate(self) -> tuple[str, str]:
        found = self._api.get("pods", self.place.namespace, self.name) or {}
        conditions = {entry["type"]: entry for entry in found["status"]["conditions"]}
        gate = conditions[names.ROTATION_GATE]
        return gate["status"], gate.get("reason", "")

    def hang(self) -> None:
        self._engine.write(self._engine.run, Clock.monotonic())

    def log(self) -> str:
        return (self.place.directory / "log").read_text()

    def tend(self) -> None:
        """A process that ended is started again; one that ended on an order takes the engine with it."""
        if self._watchdog.is_alive():
            return
        code = self._watchdog.exitcode
        if code == names.RESTART_EXIT_CODE:
            refusal = orders.honour(str(self.place.directory), time.time())
            if not refusal:
                self._run(self._engine.run + 1)
        else:
            assert code == KILLED, self.log()
        self.lives += 1
        self._watchdog = start_watchdog(self.place)

    def end(self) -> None:
        self._watchdog.kill()
        self._watchdog.join()

    def live_on(self) -> None:
        """From now on nobody dies."""
        self.place = replace(self.place, dies="never")

    def _run(self, run: int) -> None:
        """A container of this number."""
        self._engine.write(run, None)
        started = {"running": {"startedAt": "2026-11-21T12:00:00Z"}}
        engine = {"name": "engine", "image": "x", "imageID": "x", "ready": True, "restartCount": 0, "state": started}
        statuses: list[dict[str, Any]] = [{**engine, "containerID": f"containerd://engine-{run}"}]
        self._api.patch("pods", self.place.namespace, self.name, {"status": {"containerStatuses": statuses}}, "status")


def make_place(access: ApiAccess, place: Place) -> Place:
    """With the token that the kubelet would have mounted."""
    place.directory.mkdir()
    token = access.token_for(
        names.WATCHDOG_SERVICE_ACCOUNT, namespace=place.namespace, pod=place.pod, pod_uid=place.uid
    )
    (place.directory / "token").write_text(token)
    return place
