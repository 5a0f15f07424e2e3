"""The user's pod template with the watchdog in it. What the user wrote is kept, even if it switches something off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names
from llmworker_operator.builders.metadata import digest, worker_labels
from llmworker_operator.builders.restart_probe import restart_probe
from llmworker_operator.builders.sidecar import sidecar
from llmworker_operator.builders.volumes import volumes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.worker import Worker

GRACE_SPARE_SECONDS: Final = 10
"""Beyond the drain: for the engine's own end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What shapes a template besides the worker: settings, and what the cluster can do."""

    watchdog_image: str
    pull_policy: str
    restart_rules: bool
    """The API server accepts `restartPolicyRules`."""
    restart_probe: bool
    """Some node's kubelet does not act on them."""


def grace_seconds(worker: Worker) -> int:
    """The user's own, or long enough for the drain."""
    own = (worker.template.get("spec") or {}).get("terminationGracePeriodSeconds")
    if own is not None:
        return int(own)
    return round(worker.watchdog.remediation.drain_timeout) + GRACE_SPARE_SECONDS


def spec_hash(worker: Worker) -> str:
    """Of the parts of the user's spec that shape the pod, and of nothing that the operator's version decides."""
    key = {"name": worker.api_key.name, "key": worker.api_key.key} if worker.api_key else None
    shape: dict[str, Any] = {"template": dict(worker.template), "apiKey": key}
    return digest({**shape, "probe": True} if worker.wants_restart_probe else shape)


def _engine(container: Mapping[str, Any], *, probe: bool) -> dict[str, Any]:
    mount = {"name": names.VOLUME_ORDERS, "mountPath": names.ORDERS_DIR, "readOnly": True}
    engine = {**container, "volumeMounts": [*(container.get("volumeMounts") or ()), mount]}
    lifecycle = container.get("lifecycle") or {}
    if "preStop" not in lifecycle:
        drain = {"httpGet": {"path": "/drain", "port": names.WATCHDOG_PORT, "scheme": "HTTP"}}
        engine["lifecycle"] = {**lifecycle, "preStop": drain}
    if probe and "livenessProbe" not in container:
        engine["livenessProbe"] = restart_probe()
    return engine


def _containers(spec: Mapping[str, Any], *, probe: bool) -> list[dict[str, Any]]:
    return [
        _engine(container, probe=probe) if container.get("name") == names.ENGINE_CONTAINER else dict(container)
        for container in spec.get("containers") or ()
    ]


def pod_template(worker: Worker, rendering: Rendering) -> dict[str, Any]:
    """The watchdog comes last among the init containers: a model download before it is no fault to watch."""
    metadata, spec = worker.template.get("metadata") or {}, worker.template.get("spec") or {}
    watchdog = sidecar(
        worker, rendering.watchdog_image, pull_policy=rendering.pull_policy, restart_rules=rendering.restart_rules
    )
    annotations = {
        "kubectl.kubernetes.io/default-container": names.ENGINE_CONTAINER,
        **(metadata.get("annotations") or {}),
    }
    return {
        "metadata": {
            "labels": {**(metadata.get("labels") or {}), **worker_labels(worker.key.name)},
            "annotations": annotations,
        },
        "spec": {
            **spec,
            "serviceAccountName": names.WATCHDOG_SERVICE_ACCOUNT,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": grace_seconds(worker),
            "readinessGates": [*(spec.get("readinessGates") or ()), {"conditionType": names.ROTATION_GATE}],
            "initContainers": [*(spec.get("initContainers") or ()), watchdog],
            "containers": _containers(spec, probe=rendering.restart_probe or worker.wants_restart_probe),
            "volumes": [*(spec.get("volumes") or ()), *volumes(worker)],
        },
    }
