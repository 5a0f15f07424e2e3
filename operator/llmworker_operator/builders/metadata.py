"""Labels, owners and annotations that every child carries."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llmworker_operator.domain.worker import Worker

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
ANNOTATION_APPLIED: Final = f"{names.GROUP}/applied"
"""Digest of what was applied: it changes when a field is taken away, which a comparison field by field cannot see."""


def worker_labels(worker: str) -> dict[str, str]:
    """What selects a worker's pods and children."""
    return {names.LABEL_WORKER: worker}


def owner_reference(worker: Worker, *, controller: bool) -> dict[str, Any]:
    """`blockOwnerDeletion` stays off: it would need rights on finalizers, and nothing waits for it."""
    reference: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": names.WORKER_KIND,
        "name": worker.key.name,
        "uid": worker.uid,
    }
    return {**reference, "controller": True} if controller else reference


def child_metadata(worker: Worker, name: str) -> dict[str, Any]:
    """Of an object that belongs to one worker alone."""
    return {
        "name": name,
        "namespace": worker.key.namespace,
        "labels": {**worker_labels(worker.key.name), MANAGED_BY: names.OPERATOR_FIELD_MANAGER},
        "ownerReferences": [owner_reference(worker, controller=True)],
    }


def shared_metadata(namespace: str, workers: Iterable[Worker]) -> dict[str, Any]:
    """Of an object that all workers of a namespace share; it goes with the last of them."""
    owners = sorted((owner_reference(w, controller=False) for w in workers), key=lambda o: str(o["uid"]))
    return {
        "name": names.WATCHDOG_SERVICE_ACCOUNT,
        "namespace": namespace,
        "labels": {MANAGED_BY: names.OPERATOR_FIELD_MANAGER},
        "ownerReferences": owners,
    }


def digest(document: Mapping[str, Any]) -> str:
    """Stable over key order; short enough for a label or a name."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def stamped(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the digest of itself."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
