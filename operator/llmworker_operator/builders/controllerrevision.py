"""The rendered template as it was first made from a spec: re-applied until that spec changes (invariant 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llmworker_operator.builders.metadata import child_metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from llmworker_operator.domain.worker import Worker

KEPT: Final = 5
"""Revisions of a worker that are kept besides the one in use: a spec that is put back finds its own template again."""


def revision_name(worker: str, spec_hash: str) -> str:
    return f"{worker}-{spec_hash}"


def controller_revision(
    worker: Worker, spec_hash: str, template: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    newest = max((int(revision.get("revision", 0)) for revision in earlier), default=0)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": child_metadata(worker, revision_name(worker.key.name, spec_hash)),
        "data": {"template": dict(template)},
        "revision": newest + 1,
    }


def surplus(revisions: Iterable[Mapping[str, Any]], in_use: Collection[str]) -> list[Mapping[str, Any]]:
    """The oldest beyond what is kept."""
    others = [r for r in revisions if r["metadata"]["name"] not in in_use]
    others.sort(key=lambda r: int(r.get("revision", 0)), reverse=True)
    return others[KEPT:]
