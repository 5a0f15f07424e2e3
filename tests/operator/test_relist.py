"""A deletion that no watch has reported heals with the next list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.adapters import resources
from llmworker_operator.adapters.cache import Cache
from llmworker_operator.adapters.errors import GoneError
from llmworker_operator.adapters.relist import relist
from tests.operator.making import KEY, incident_document, worker_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Pages:
    """In place of the client: hands out what it was given, page by page; an error in place of a page."""

    def __init__(self, *pages: Any) -> None:
        self._pages = pages

    async def pages(self, _resource: Any, **_how: Any) -> AsyncIterator[dict[str, Any]]:
        for page in self._pages:
            if isinstance(page, Exception):
                raise page
            yield page


def page(*items: dict[str, Any], version: int = 100) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


async def listed(cache: Cache, resource: Any, *pages: Any) -> set[Any]:
    return await relist(Pages(*pages), cache, resource, chunk=1)  # type: ignore[arg-type]


async def test_a_missed_deletion_heals() -> None:
    cache = Cache()
    cache.put(resources.INCIDENTS, incident_document("a"))
    cache.put(resources.INCIDENTS, incident_document("b"))
    assert await listed(cache, resources.INCIDENTS, page(incident_document("b"))) == {KEY}
    assert [i.pod_name for i in cache.incidents.of(KEY)] == ["b"]


async def test_all_pages_are_one_list() -> None:
    cache = Cache()
    changed = await listed(cache, resources.INCIDENTS, page(incident_document("a")), page(incident_document("b")))
    assert changed == {KEY}
    assert len(cache.incidents) == 2


async def test_nothing_is_concluded_from_half_a_list() -> None:
    cache = Cache()
    cache.put(resources.INCIDENTS, incident_document("a"))
    await listed(cache, resources.INCIDENTS, page(incident_document("b")), GoneError("too old", status=410))
    assert {i.pod_name for i in cache.incidents.of(KEY)} == {"a", "b"}


async def test_what_came_after_the_list_was_taken_stays() -> None:
    cache = Cache()
    late = incident_document("late")
    late["metadata"]["resourceVersion"] = "101"
    cache.put(resources.INCIDENTS, late)
    await listed(cache, resources.INCIDENTS, page(version=100))
    assert len(cache.incidents) == 1


async def test_policies_concern_every_worker() -> None:
    cache = Cache()
    cache.put(resources.WORKERS, worker_document("a"))
    cache.put(resources.WORKERS, worker_document("b"))
    policy = {"metadata": {"name": "llmworker-watchdog-pods", "resourceVersion": "1"}, "spec": {}}
    assert {key.name for key in cache.put(resources.POLICIES, policy)} == {"a", "b"}
    foreign = {"metadata": {"name": "other", "resourceVersion": "1"}, "spec": {}}
    assert cache.put(resources.POLICIES, foreign) == set()


async def test_shared_children_concern_their_namespace() -> None:
    cache = Cache()
    cache.put(resources.WORKERS, worker_document("a"))
    binding = {"metadata": {"name": "llm-watchdog", "namespace": "demo", "resourceVersion": "1"}}
    assert {key.name for key in cache.put(resources.ROLE_BINDINGS, binding)} == {"a"}
    elsewhere = {"metadata": {"name": "llm-watchdog", "namespace": "other", "resourceVersion": "1"}}
    assert cache.put(resources.ROLE_BINDINGS, elsewhere) == set()
