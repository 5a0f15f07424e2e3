"""Workers, replicas and incidents for tests, as the API server would hand them out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from llm_watchdog.api import names
from llmworker_operator.domain.record import IncidentView, read_incident
from llmworker_operator.domain.replica import Replica, Sidecar
from llmworker_operator.domain.worker import Worker, WorkerKey, read_worker

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = WorkerKey("demo", "qwen")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


def worker_document(name: str = "qwen", **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "engine", "image": "engine:1"}]}}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "metadata": {
            "name": name,
            "namespace": KEY.namespace,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "generation": 3,
        },
        "spec": {"engine": {"type": "openai"}, "template": template, "replicas": 2, **spec},
    }


def worker(name: str = "qwen", **spec: Any) -> Worker:
    read = read_worker(worker_document(name, **spec))
    assert isinstance(read, Worker)
    return read


def replica(name: str, *, image: str = "watchdog:1", **fields: Any) -> Replica:
    sidecar = Sidecar(image=image, container_id=f"old-{name}", running=True)
    return Replica(**{"name": name, "uid": f"uid-{name}", "ready": True, "sidecar": sidecar, "node": "n1", **fields})


def incident(pod: str, name: str = "", *, detected: float = 0, **status: Any) -> IncidentView:
    return read_incident(incident_document(pod, name, detected=detected, **status))


def incident_document(pod: str, name: str = "", *, detected: float = 0, **status: Any) -> dict[str, Any]:
    mode = status.pop("mode", "Enforce")
    fault = status.pop("fault", "StalledStream")
    return {
        "metadata": {"name": name or f"incident-{pod}", "namespace": KEY.namespace, "resourceVersion": "1", "uid": "u"},
        "spec": {
            "workerRef": {"name": KEY.name},
            "podRef": {"name": pod, "uid": f"uid-{pod}"},
            "fault": fault,
            "mode": mode,
            "detectedAt": stamp(detected),
        },
        "status": {"reason": "NoFirstToken", **status},
    }


def asking(pod: str, name: str = "", *, step: str = "Restart", **fields: Any) -> IncidentView:
    return incident(pod, name, phase="AwaitingGrant", requestedStep=step, **fields)


def grant(given: float, *, step: str = "Restart", lifetime: float = 30) -> dict[str, str]:
    return {"step": step, "grantedAt": stamp(given), "expiresAt": stamp(given + lifetime)}


def step(began: float, *, name: str = "Restart", outcome: str | None = None) -> dict[str, str]:
    return {"step": name, "startedAt": stamp(began), **({"outcome": outcome} if outcome else {})}
