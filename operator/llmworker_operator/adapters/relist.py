"""Lists everything from time to time and compares: what a watch has missed heals here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api import names
from llmworker_operator.adapters import resources
from llmworker_operator.adapters.errors import GoneError
from llmworker_operator.adapters.store import name_of
from llmworker_operator.builders.metadata import MANAGED_BY

if TYPE_CHECKING:
    from llmworker_operator.adapters.cache import Cache
    from llmworker_operator.adapters.kube import Kube
    from llmworker_operator.adapters.resources import Resource
    from llmworker_operator.domain.worker import WorkerKey

_OURS: Final = f"{MANAGED_BY}={names.OPERATOR_FIELD_MANAGER}"
SELECTORS: Final[dict[Resource, str]] = {
    resources.PODS: names.LABEL_WORKER,
    **dict.fromkeys(resources.OWN_CHILDREN, names.LABEL_WORKER),
    **dict.fromkeys(resources.SHARED_CHILDREN, _OURS),
}
"""What a list or a watch leaves out on the server's side."""

ORDER: Final = (
    *resources.ADMISSION,
    resources.NODES,
    resources.INCIDENTS,
    resources.PODS,
    *resources.CHILDREN,
    resources.WORKERS,
)
"""Workers last: what is decided about one rests on all the rest."""


async def relist(kube: Kube, cache: Cache, resource: Resource, *, chunk: int) -> set[WorkerKey]:
    """The workers for whom the list said something new."""
    listed: set[tuple[str, str]] = set()
    changed: set[WorkerKey] = set()
    list_version: int | None = None
    try:
        async for page in kube.pages(resource, chunk=chunk, selector=SELECTORS.get(resource, "")):
            if list_version is None:
                list_version = int(page["metadata"].get("resourceVersion") or 0)
            for item in page["items"]:
                listed.add(name_of(item))
                changed |= cache.listed(resource, item)
    except GoneError:
        # 410: the continue token is too old. Nothing is concluded from half a list; 404: the kind is not served (yet).
        return changed
    return changed | cache.keep_only(resource, listed, list_version or 0)
