"""One worker, its operator, its pods, and how they get over a hang of all replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from e2e.cluster.access import ApiAccess
from e2e.lab.operator_process import start
from tests.operator.live.api import Api, until
from tests.operator.live.fleet import make_pod
from tests.operator.live.perturbed.history import State, check_budget, check_records, history
from tests.operator.live.perturbed.pods import SERVING, Pod, make_place
from tests.operator.live.perturbed.programs import Place
from tests.operator.live.worker import worker_manifest

if TYPE_CHECKING:
    from e2e.lab.operator_process import Operator


BUDGET = {"maxUnavailable": 1, "maxPerHour": 50, "cooldown": "0s"}
LONGEST_SECONDS = 120
HAPPENINGS = ("detected", "step0-begins", "step0-ended", "step1-begins", "step1-ended", "closed")
"""What the Events of an incident are named after: it was drained, then restarted."""


@dataclass(kw_only=True)
class Scene:
    """Both ways to the API server are functions of who goes it."""

    access: ApiAccess
    api: Api
    kubeconfig: Path
    namespace: str
    folder: Path
    server: Callable[[str], str]

    def __post_init__(self) -> None:
        self.pods: list[Pod] = []
        self.operator: Operator | None = None
        self.operators = 0
        self._settings: dict[str, str] = {}
        self._since = ""

    def start_operator(self, **settings: str) -> None:
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": self.server("operator")}
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))
        self._settings = {"identity": "same", "relist_seconds": "1", **settings}
        self._next_operator()

    def _next_operator(self) -> None:
        self.operator = start(self.folder / "kubeconfig", self.folder / "operator.log", **self._settings)
        self.operators += 1

    def tend_operator(self, expected: int) -> None:
        """One that ended as expected is started again."""
        assert self.operator
        if not self.operator.alive:
            assert self.operator.wait(0) == expected, self.logs()
            self._next_operator()

    def end_operator(self) -> None:
        assert self.operator
        self.operator.stop()

    def make_pods(self, replicas: int, *, dies: str = "never") -> None:
        """The worker, and what its Deployment's controller would make of it; in rotation at the end."""
        self._since = self.api.version("llmincidents")
        spec: dict[str, Any] = {"replicas": replicas, "watchdog": {"remediation": {"budget": BUDGET}}}
        self.api.create("llmworkers", worker_manifest(self.namespace, **spec))
        deployment = self.until("a Deployment", lambda: self.api.get("deployments", self.namespace, "qwen"))
        self.until("rights for the watchdogs", lambda: self.api.get("rolebindings", self.namespace, "llm-watchdog"))
        for name in (f"qwen-x-{number:05}" for number in range(replicas)):
            uid = make_pod(self.api, self.namespace, name, deployment["spec"]["template"], "new-node")
            directory = self.folder / name
            place = Place(
                directory=directory,
                server=self.server(name),
                namespace=self.namespace,
                pod=name,
                uid=uid,
                dies=dies,
            )
            self.pods.append(Pod(self.api, make_place(self.access, place)))
        self.until("all in rotation", lambda: all(pod.gate == SERVING for pod in self.pods))

    def tend(self) -> None:
        for pod in self.pods:
            pod.tend()

    def until(self, what: str, probe: Callable[[], Any]) -> Any:
        def look() -> Any:
            self.tend()
            return probe()

        try:
            return until(look, seconds=LONGEST_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{what}: {error}\n{self.logs()}") from error

    def logs(self) -> str:
        told = [f"{pod.name}:\n{pod.log()}" for pod in self.pods]
        return "\n".join([*told, f"operator:\n{(self.folder / 'operator.log').read_text()}"])

    def statuses(self) -> dict[str, dict[str, Any]]:
        """Of the incidents, by pod."""
        found = [
            self.api.get("llmincidents", self.namespace, n) for n in self.api.names("llmincidents", self.namespace)
        ]
        return {each["spec"]["podRef"]["name"]: each.get("status") or {} for each in found if each}

    def recovered(self) -> bool:
        statuses = self.statuses()
        closed = [statuses.get(pod.name, {}).get("phase") == "Closed" for pod in self.pods]
        return all(closed) and all(pod.gate == SERVING for pod in self.pods) and self._told()

    def _told(self) -> bool:
        incidents = self.api.names("llmincidents", self.namespace)
        expected = {f"{incident}.{key}" for incident in incidents for key in HAPPENINGS}
        return expected <= set(self.api.names("events", self.namespace))

    def history(self) -> list[State]:
        return history(self.api, self.namespace, self._since)

    def check(self) -> None:
        """The record is whole and was made once, the budget held, no step was done twice."""
        states = self.history()
        check_records(states, [pod.name for pod in self.pods])
        check_budget(states, allowed=1)
        outcomes = {pod: (status["phase"], status["outcome"]) for pod, status in self.statuses().items()}
        assert outcomes == {pod.name: ("Closed", "Recovered") for pod in self.pods}
        assert [pod.restarts for pod in self.pods] == [1] * len(self.pods)
        assert [pod.honoured for pod in self.pods] == [1] * len(self.pods)

    def end(self) -> None:
        for pod in self.pods:
            pod.end()
        if self.operator is not None:
            self.operator.kill()
