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

ACCELERATOR = "/accelerator"
"""Of a breakable engine: a volume that lives as long as the pod, whatever is restarted in it."""
BROKEN = f"{ACCELERATOR}/broken"
UNLESS_BROKEN = ("sh", "-c", f'[ -e {BROKEN} ] && set -- "$@" --fault hang; exec "$@"', "--")

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


def _breakable(pod: dict[str, Any]) -> dict[str, Any]:
    """Its engine hangs from the start once the file is there: no restart cures it, another pod does."""
    (engine,) = pod["containers"]
    command = [*INIT, *UNLESS_BROKEN, *engine["command"][len(INIT) :]]
    mounts = [{"name": "accelerator", "mountPath": ACCELERATOR}]
    volumes = [{"name": "accelerator", "emptyDir": {}}]
    return {"containers": [{**engine, "command": command, "volumeMounts": mounts}], "volumes": volumes}


def fault_engine_worker(
    name: str,
    namespace: str,
    *,
    replicas: int = 2,
    args: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    watchdog: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    breakable: bool = False,
) -> dict[str, Any]:
    """An LLMWorker of fault engines. The annotations are those of its pods."""
    pod = {"containers": [fault_engine_container(args, env)]}
    template = {"metadata": {"annotations": annotations or {}}, "spec": _breakable(pod) if breakable else pod}
    return _worker(name, namespace, template, {"replicas": replicas, "watchdog": watchdog or {}})
