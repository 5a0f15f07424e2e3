"""What becomes of an eviction that the API server refuses: it is asked again, and said once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client.registry import CollectorRegistry

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.adapters.errors import ConflictError, KubeError, UnreachableError, error_for
from llmworker_operator.adapters.metrics import Metrics
from llmworker_operator.builders.admission import policies
from llmworker_operator.domain.cluster_pause import read_switch
from llmworker_operator.reconcile.context import Context
from llmworker_operator.reconcile.evictions import EVICTION_PERIOD, evict_ordered
from llmworker_operator.settings import Settings
from tests.operator.making import KEY, NOW, grant, incident_document, step, worker

if TYPE_CHECKING:
    from llmworker_operator.adapters.events import EventPoster, Subject
    from llmworker_operator.adapters.kube import Kube
    from llmworker_operator.adapters.status_page import StatusPages

BLOCKED = "Cannot evict pod as it would violate the pod's disruption budget."


class Server:
    """Refuses with what lies there, and notes what it was asked."""

    def __init__(self) -> None:
        self.refusal: KubeError | None = None
        self.asked: list[tuple[str, str, str]] = []
        self.told: list[tuple[str, bool]] = []
        """Reason, and whether it is a warning."""

    async def evict(self, namespace: str, pod: str, *, uid: str, resource_version: str) -> None:
        assert namespace == KEY.namespace
        self.asked.append((pod, uid, resource_version))
        if self.refusal is not None:
            raise self.refusal

    def post(self, _subject: Subject, *, reason: str, warning: bool, **_said: Any) -> None:
        self.told.append((reason, warning))


def pod_document(*, ready: str = "False") -> dict[str, Any]:
    labels = {names.LABEL_WORKER: KEY.name}
    metadata = {"name": "a", "namespace": KEY.namespace, "uid": "uid-a", "resourceVersion": "41", "labels": labels}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def known(*, policies_in_force: bool = True) -> Cache:
    cache = Cache()
    for document in policies() if policies_in_force else ():
        kinds = {resource.kind: resource for resource in resources.ADMISSION}
        metadata = {**document["metadata"], "uid": "u", "resourceVersion": "1"}
        cache.put(kinds[document["kind"]], {**document, "metadata": metadata})
    order = [step(-10, name="ReplacePod")]
    granted = grant(-12, step="ReplacePod")
    cache.put(resources.INCIDENTS, incident_document("a", phase="Acting", grant=granted, steps=order))
    cache.put(resources.PODS, pod_document())
    return cache


def context(server: Server, cache: Cache) -> Context:
    return Context(
        kube=cast("Kube", server),
        cache=cache,
        settings=Settings(),
        metrics=Metrics(CollectorRegistry()),
        events=cast("EventPoster", server),
        pages=cast("StatusPages", server),
        clock=lambda: NOW,
    )


def test_exactly_the_pod_that_was_seen() -> None:
    server = Server()
    there = context(server, known())
    assert asyncio.run(evict_ordered(there, worker())) == EVICTION_PERIOD
    assert server.asked == [("a", "uid-a", "41")]
    assert server.told == [("Evicted", False)]


@pytest.mark.parametrize(("status", "message"), [(429, BLOCKED), (500, "more than one"), (403, "forbidden")])
def test_a_refusal_is_asked_again_and_said_once(status: int, message: str) -> None:
    server = Server()
    server.refusal = error_for(status, message)
    there = context(server, known())
    for _ in range(3):
        assert asyncio.run(evict_ordered(there, worker())) == EVICTION_PERIOD
    assert len(server.asked) == 3
    assert server.told == [("EvictionRefused", True)]
    assert list(there.refusals.of(KEY).values()) == [f"pod a is not evicted: {message}"]
    server.refusal = None
    asyncio.run(evict_ordered(there, worker()))
    assert server.told[-1] == ("Evicted", False)
    assert not there.refusals.of(KEY)


def test_a_pod_that_has_changed_is_looked_at_again() -> None:
    server = Server()
    server.refusal = ConflictError("the object has been modified", status=409)
    there = context(server, known())
    asyncio.run(evict_ordered(there, worker()))
    assert not server.told
    assert not there.refusals.of(KEY)


def test_a_server_that_does_not_answer_refuses_nothing() -> None:
    server = Server()
    server.refusal = UnreachableError("no route")
    with pytest.raises(UnreachableError):
        asyncio.run(evict_ordered(context(server, known()), worker()))
    assert not server.told


def test_nothing_is_evicted_while_a_watchdog_may_write_what_it_likes() -> None:
    server = Server()
    assert asyncio.run(evict_ordered(context(server, known(policies_in_force=False)), worker())) is None
    assert not server.asked


def test_nothing_is_evicted_while_the_whole_cluster_is_paused() -> None:
    server, cache = Server(), known()
    cache.turn(read_switch({"data": {"paused": "a drill"}}))
    assert asyncio.run(evict_ordered(context(server, cache), worker())) is None
    assert not server.asked


def test_a_pod_that_is_in_rotation_again_stays() -> None:
    server, cache = Server(), known()
    back = pod_document(ready="True")
    cache.put(resources.PODS, {**back, "metadata": {**back["metadata"], "resourceVersion": "42"}})
    assert asyncio.run(evict_ordered(context(server, cache), worker())) is None
    assert not server.asked
