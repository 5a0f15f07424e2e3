"""How the real vLLM is run in a pod of the test cluster: its arguments, and the volume that its files come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.images.vllm.environment import MODEL, MOUNT_PATH

if TYPE_CHECKING:
    from pathlib import Path

SERVED_MODEL = "tiny"
CLAIM = "vllm-environment"
STORAGE_CLASS = "llmworker-local"  # only a name that claim and volume share: there is no such object
CAPACITY = "4Gi"


def vllm_arguments(port: int = 8000) -> list[str]:
    """Arguments of the `vllm` image: small, quick to start, and the same answers on every run."""
    return [
        f"{MOUNT_PATH}/{MODEL}",
        f"--served-model-name={SERVED_MODEL}",
        f"--port={port}",
        "--dtype=float32",
        "--max-model-len=1024",
        "--max-num-seqs=16",
        "--enforce-eager",
        "--enable-server-load-tracking",
        "--kv-cache-memory-bytes=67108864",
    ]


def vllm_volume_manifests(path: Path, node: str, namespace: str) -> list[dict[str, Any]]:
    """A local volume and its claim: pod security `restricted` allows it, where a hostPath is refused."""
    name = f"{CLAIM}-{namespace}"  # a volume has one claim, so each namespace has its own volume
    shared = {"storageClassName": STORAGE_CLASS, "accessModes": ["ReadOnlyMany"]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **shared,
            "capacity": {"storage": CAPACITY},
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(path)},
            "claimRef": {"namespace": namespace, "name": CLAIM},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [_on(node)]}]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": namespace},
        "spec": {**shared, "volumeName": name, "resources": {"requests": {"storage": CAPACITY}}},
    }
    return [volume, claim]


def _on(node: str) -> dict[str, Any]:
    return {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}


def vllm_volumes() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A pod's `volumes` and the engine container's `volumeMounts`: vLLM read-only, and where it writes."""
    volumes: list[dict[str, Any]] = [
        {"name": "vllm", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
        {"name": "scratch", "emptyDir": {}},
        # vLLM does not start with a container's own 64 MiB, and what a killed process leaves here outlives a restart.
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "vllm", "mountPath": MOUNT_PATH, "readOnly": True},
        {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
    ]
    return volumes, mounts
