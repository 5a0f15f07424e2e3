"""Manifests of the test engines."""

from __future__ import annotations

from typing import Any

from e2e.images.vllm.serving import vllm_arguments, vllm_volumes
from llm_watchdog.api import names

FAULT_ENGINE_IMAGE = "llmworker.dev/fault-engine:dev"
VLLM_IMAGE = "llmworker.dev/vllm:dev"
CONTROL_PORT = 8001

INIT = ("sh", "-c", '"$@" & p=$!; trap "kill -TERM $p" TERM; wait $p; wait $p', "--")
"""Process 1 cannot be stopped from inside its container; behind this one the engine's server is not process 1."""

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def fault_engine_container(args: tuple[str, ...] = (), env: dict[str, str] | None = None) -> dict[str, Any]:
    """The fault engine with vLLM's manners."""
    variables = {"VLLM_SERVER_DEV_MODE": "1", **(env or {})}
    return {
        "name": names.ENGINE_CONTAINER,
        "image": FAULT_ENGINE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [*INIT, "python3", "-m", "fault_engine"],
        "args": ["--port", "8000", "--control-port", str(CONTROL_PORT), "--model", "tiny", *args],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2, "timeoutSeconds": 5},
        "securityContext": RESTRICTED,
    }


def vllm_pod(env: dict[str, str] | None = None, *, start_delay: int = 0) -> dict[str, Any]:
    """The real vLLM on a CPU, with a tiny model. It begins to start `start_delay` seconds after its container."""
    volumes, mounts = vllm_volumes()
    return {"containers": [_vllm_container(env or {}, mounts, start_delay)], "volumes": volumes}


def _vllm_container(env: dict[str, str], mounts: list[dict[str, Any]], start_delay: int) -> dict[str, Any]:
    delayed = ("sh", "-c", f'sleep {start_delay}; exec "$@"', "--") if start_delay else ()
    return {
        "name": names.ENGINE_CONTAINER,
        "image": VLLM_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [*INIT, *delayed, "vllm", "serve"],
        "args": vllm_arguments(),
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 2, "timeoutSeconds": 5},
        "securityContext": RESTRICTED,
        "volumeMounts": mounts,
    }


def _worker(name: str, namespace: str, template: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "engine": {"type": "vllm", "port": 8000, "model": "tiny"},
            "template": template,
            **spec,
        },
    }


def vllm_worker(name: str, namespace: str, pod: dict[str, Any] | None = None, *, replicas: int = 2) -> dict[str, Any]:
    """An LLMWorker of real vLLMs."""
    return _worker(name, namespace, {"spec": pod or vllm_pod()}, {"replicas": replicas})


def fault_engine_worker(
    name: str,
    namespace: str,
    *,
    replicas: int = 2,
    args: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    watchdog: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """An LLMWorker of fault engines. The annotations are those of its pods."""
    template = {
        "metadata": {"annotations": annotations or {}},
        "spec": {"containers": [fault_engine_container(args, env)]},
    }
    return _worker(name, namespace, template, {"replicas": replicas, "watchdog": watchdog or {}})
