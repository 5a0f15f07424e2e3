"""Children that the API server writes down differently from how they are applied (`0.5` for `500m`): applied once,
known afterwards. A memory for speed alone; without it the same is applied again, to no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmworker_operator.builders.comparison import holds
from llmworker_operator.builders.metadata import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.child import Child


def _id(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _print(live: Child) -> str:
    document = {key: value for key, value in live.document.items() if key not in {"status", "kind", "apiVersion"}}
    metadata = {key: value for key, value in document["metadata"].items() if key != "generation"}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop("deployment.kubernetes.io/revision", None)
    return digest({**document, "metadata": {**metadata, "annotations": annotations}})


class Settled:
    """By object: digest of what was applied, and of what it became."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[str, str]] = {}

    def knows(self, manifest: Mapping[str, Any], live: Child | None) -> bool:
        known = self._known.get(_id(manifest))
        return known is not None and live is not None and known == (digest(manifest), _print(live))

    def learn(self, manifest: Mapping[str, Any], answer: Child) -> None:
        """Only what would look different again next time."""
        self._known.pop(_id(manifest), None)
        if not holds(manifest, answer.document):
            self._known[_id(manifest)] = (digest(manifest), _print(answer))
