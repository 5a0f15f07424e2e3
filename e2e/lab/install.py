"""Put the project on a cluster as a user would: load images where there is no registry, `kubectl apply -k`, wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from e2e.images.building import build
from e2e.lab.access import get, run, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from e2e.cluster.source import Cluster

ROOT = Path(__file__).parent.parent.parent
OVERLAY = ROOT / "manifests" / "overlays" / "local"
NAMESPACE = "llmworker-system"
OPERATOR = "deployment/llmworker-operator"
IMAGES = ("operator", "watchdog", "fault-engine")


def load_images(cluster: Cluster, names: Iterable[str], say: Callable[[str], None]) -> None:
    """Build what changed and hand it to the node's container runtime."""
    for name, image in build(names).items():
        say(f"image {name}: {image.reference}")
        cluster.load_image(image.archive_path)


def install(cluster: Cluster, say: Callable[[str], None] = print) -> None:
    """Images, CRDs, admission policy, operator; returns when the operator is available."""
    load_images(cluster, IMAGES, say)
    upgrade = get(cluster, "-n", NAMESPACE, OPERATOR) is not None
    say(f"kubectl apply -k {OVERLAY.relative_to(ROOT)}")
    # Twice at most: the first may create a kind that a later object of the same apply is of.
    wait_for("kubectl apply -k", lambda: cluster.kubectl("apply", "-k", str(OVERLAY)).returncode == 0, timeout=30)
    if upgrade:
        run(cluster, "-n", NAMESPACE, "rollout", "restart", OPERATOR)
    # Not `kubectl wait`: it fails on a CRD that has no conditions yet, and an established one is not served yet.
    wait_for("our kinds", lambda: cluster.kubectl("get", "llmworkers,llmincidents").returncode == 0, timeout=30)
    run(cluster, "-n", NAMESPACE, "rollout", "status", OPERATOR, "--timeout=90s")
