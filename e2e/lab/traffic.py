"""Start users of a Service inside the cluster and read what became of each of their requests."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.lab.access import Access, apply, get, run, wait_for
from e2e.lab.manifests import RESTRICTED

if TYPE_CHECKING:
    from e2e.lab.engines import Engine
    from e2e.lab.workers import Worker

SCRIPT = Path(__file__).with_name("traffic_client.py")
CONFIG_MAP = "traffic-client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the users do; `every` and `seconds` in seconds."""

    parallel: int = 1
    every: float = 0.5
    seconds: float = 60
    prompt_words: int = 8
    max_tokens: int = 8
    timeout: float = 5
    prompts: int = 0
    """So many different prompts, asked again and again; 0: each request has its own."""

    def env(self) -> dict[str, str]:
        return {
            "PARALLEL": str(self.parallel),
            "EVERY": str(self.every),
            "SECONDS": str(self.seconds),
            "PROMPT_WORDS": str(self.prompt_words),
            "MAX_TOKENS": str(self.max_tokens),
            "TIMEOUT": str(self.timeout),
            "PROMPTS": str(self.prompts),
        }


@dataclass(frozen=True, slots=True)
class Traffic:
    """Running users of one Service."""

    access: Access
    namespace: str
    pod: str

    @classmethod
    def start(cls, worker: Worker, name: str, engine: Engine, load: Load, service: str = "") -> Traffic:
        """Start the pod `WORKER-NAME`; the Service is addressed by its cluster IP (there may be no cluster DNS)."""
        access, namespace, name = worker.access, worker.namespace, f"{worker.name}-{name}"
        address = get(access, "-n", namespace, "service", service or worker.name)["spec"]["clusterIP"]
        env = {"TARGET": f"{address}:{engine.port}", "MODEL": engine.model, **load.env()}
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP, "namespace": namespace},
            "data": {"traffic_client.py": SCRIPT.read_text()},
        }
        container = {
            "name": "client",
            "image": engine.client_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-u", "/traffic/traffic_client.py"],
            "env": [{"name": key, "value": value} for key, value in env.items()],
            "securityContext": RESTRICTED,
            "volumeMounts": [{"name": "script", "mountPath": "/traffic"}],
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "traffic"}},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "containers": [container],
                "volumes": [{"name": "script", "configMap": {"name": CONFIG_MAP}}],
            },
        }
        run(access, "-n", namespace, "delete", "pod", name, "--ignore-not-found", "--wait")
        apply(access, config, pod)
        return cls(access, namespace, name)

    def reports(self) -> list[dict[str, Any]]:
        """One record per finished request, in the order of their end."""
        logs = self.access.kubectl("-n", self.namespace, "logs", self.pod).stdout
        return [json.loads(line) for line in logs.splitlines() if line.startswith("{")]

    def wait_answers(self, number: int, since: float = 0) -> None:
        """Until so many requests that began later have been answered; epoch seconds."""

        def enough() -> bool:
            return len([r for r in self.reports() if r["outcome"] == "ok" and r["start"] >= since]) >= number

        wait_for(f"{number} answers for {self.pod}", enough, timeout=60)

    def wait(self, timeout: float) -> list[dict[str, Any]]:
        """Wait until all users are done."""

        def done() -> bool:
            pod = get(self.access, "-n", self.namespace, "pod", self.pod)
            return pod["status"].get("phase") in {"Succeeded", "Failed"}

        wait_for(f"pod {self.pod} to end", done, timeout=timeout, every=1)
        return self.reports()

    def stop(self) -> None:
        run(self.access, "-n", self.namespace, "delete", "pod", self.pod, "--ignore-not-found", "--grace-period=1")


def outcomes(reports: list[dict[str, Any]]) -> Counter[str]:
    """How many requests ended in which way."""
    return Counter(str(report["outcome"]) for report in reports)


def failed(reports: list[dict[str, Any]]) -> int:
    """How many requests a user would complain about."""
    return sum(1 for report in reports if report["outcome"] != "ok")


def differing(reports: list[dict[str, Any]], before: float) -> list[dict[str, Any]]:
    """Whole answers in other words than those that began `before` got, in epoch seconds, for the same prompt.

    Raises KeyError for a prompt that nobody asked earlier; users with `Load.prompts` have asked each of theirs by then.
    """
    whole = [report for report in reports if report["outcome"] == "ok"]
    known: dict[str, set[str]] = {}
    for report in whole:
        if report["start"] < before:
            known.setdefault(report["prompt"], set()).add(report["text"])
    return [report for report in whole if report["text"] not in known[report["prompt"]]]
