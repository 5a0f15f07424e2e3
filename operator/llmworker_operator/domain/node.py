"""What the operator keeps of a node: the kubelet's version, our taint, the type of accelerator. Knows no client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping

TAINT: Final = f"{names.GROUP}/suspect"

ACCELERATOR_LABELS: Final = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/arch",
)
"""Of GPU feature discovery, AMD's labeller, GKE, and every cloud; the first that a node has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node."""

    kubelet: str = ""
    tainted: bool = False
    accelerator: str = ""
    """Its model; else the type of the machine; else its architecture."""


def read_node(document: Mapping[str, Any]) -> NodeView:
    """From the API server's JSON."""
    info = (document.get("status") or {}).get("nodeInfo") or {}
    labels = document["metadata"].get("labels") or {}
    return NodeView(
        kubelet=str(info.get("kubeletVersion", "")),
        tainted=is_tainted(document),
        accelerator=next((labels[label] for label in ACCELERATOR_LABELS if labels.get(label)), ""),
    )


def taints_of(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Everybody's."""
    return (document.get("spec") or {}).get("taints") or []


def is_tainted(document: Mapping[str, Any]) -> bool:
    """By us."""
    return any(taint.get("key") == TAINT for taint in taints_of(document))
