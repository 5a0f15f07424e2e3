"""Whether the admission policies that confine the watchdog's token are in force; without them it gets no rights."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.admission import differences, policies

if TYPE_CHECKING:
    from llmworker_operator.adapters.cache import Cache
    from llmworker_operator.domain.child import Child

EXPECTED = policies()


def admission_problems(cache: Cache) -> tuple[str, ...]:
    """Empty: nothing is missing, edited or softened."""
    return _problems(
        tuple((resource.kind, child) for resource, store in cache.admission.items() for child in store.values())
    )


@lru_cache(maxsize=1)
def _problems(live: tuple[tuple[str, Child], ...]) -> tuple[str, ...]:
    """Asked for in every pass, and the same from pass to pass. Items of a list carry no kind, so it is added."""
    documents: list[dict[str, Any]] = [{**child.document, "kind": kind} for kind, child in live]
    return tuple(differences(EXPECTED, documents))
