"""Nothing fires: no incident, no restart, no departure from rotation, be it for a moment."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from e2e.lab.timeline import condition, engine_id, serving
from llm_watchdog.api import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.lab.workers import Worker


def standing(pods: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Per pod in rotation what an event would have changed: who leaves and returns has new transition times.

    The gate's is written by the watchdog, that of `Ready` by the kubelet.
    """
    return {
        pod["metadata"]["uid"]: (
            engine_id(pod),
            tuple(s["restartCount"] for s in pod["status"].get("initContainerStatuses", [])),
            *((condition(pod, kind) or {}).get("lastTransitionTime") for kind in (names.ROTATION_GATE, "Ready")),
        )
        for pod in pods
        if serving(pod)
    }


@contextmanager
def undisturbed(worker: Worker) -> Iterator[None]:
    """All its replicas are in rotation, and the block changes nothing about them."""
    known = [i["metadata"]["name"] for i in worker.incidents()]
    pods = worker.pods()
    before = standing(pods)
    assert len(before) == len(pods) > 0, "not all replicas are in rotation"
    yield
    raised = [i for i in worker.incidents() if i["metadata"]["name"] not in known]
    assert not raised, raised
    assert standing(worker.pods()) == before, "a replica was restarted or left rotation"
