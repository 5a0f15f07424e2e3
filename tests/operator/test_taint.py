"""The taint of a suspect node: once per evidence, and never against a person who took it away."""

from __future__ import annotations

from typing import Any

import pytest

from llmworker_operator.domain.node import TAINT, NodeView, read_node
from llmworker_operator.domain.nodes import SuspectNode, SuspectReason
from llmworker_operator.domain.taint import ANNOTATION, taint_patch
from tests.operator.making import NOW, at, stamp

OURS = {"key": TAINT, "value": "SameNodeAgain", "effect": "NoSchedule"}
THEIRS = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}
AGAIN = SuspectNode(node="n1", reason=SuspectReason.SAME_NODE_AGAIN, message="", since=at(-60))
DEVICE = SuspectNode(node="n1", reason=SuspectReason.DEVICE_UNHEALTHY, message="")


def node(*taints: dict[str, str], tainted_at: float | None = None) -> dict[str, Any]:
    annotations = {} if tainted_at is None else {ANNOTATION: stamp(tainted_at)}
    metadata = {"name": "n1", "resourceVersion": "5", "annotations": annotations}
    return {
        "metadata": metadata,
        "spec": {"taints": list(taints)},
        "status": {"nodeInfo": {"kubeletVersion": "v1.36.3"}},
    }


def test_other_taints_stay_and_the_version_is_a_precondition() -> None:
    assert taint_patch(node(THEIRS), AGAIN, NOW) == {
        "metadata": {"resourceVersion": "5", "annotations": {ANNOTATION: "2026-11-21T12:00:00Z"}},
        "spec": {"taints": [THEIRS, OURS]},
    }


@pytest.mark.parametrize(
    ("document", "suspect"),
    [
        (node(OURS), AGAIN),
        (node(OURS), DEVICE),
        (node(tainted_at=-60), AGAIN),
        (node(tainted_at=-30), AGAIN),
        (node(tainted_at=-30), DEVICE),
    ],
)
def test_not_twice_for_the_same(document: dict[str, Any], suspect: SuspectNode) -> None:
    assert taint_patch(document, suspect, NOW) is None


@pytest.mark.parametrize("document", [node(tainted_at=-61), {**node(), "spec": {}}, {**node(), "spec": None}])
def test_newer_evidence_brings_it_back(document: dict[str, Any]) -> None:
    patch = taint_patch(document, AGAIN, NOW)
    assert patch
    assert patch["spec"]["taints"] == [OURS]


def test_what_is_kept_of_a_node() -> None:
    assert read_node(node(THEIRS)) == NodeView(kubelet="v1.36.3")
    assert read_node(node(THEIRS, OURS)) == NodeView(kubelet="v1.36.3", tainted=True)
    assert read_node({"metadata": {"name": "n1"}}) == NodeView()
