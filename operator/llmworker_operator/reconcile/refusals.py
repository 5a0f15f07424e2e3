"""What the API server says of evictions that it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmworker_operator.domain.worker import WorkerKey


class Refusals:
    """What the API server said last, by incident. A memory for people alone: it is asked again anyway."""

    def __init__(self) -> None:
        self._said: dict[WorkerKey, dict[str, str]] = {}

    def of(self, key: WorkerKey) -> Mapping[str, str]:
        return self._said.get(key, {})

    def keep(self, key: WorkerKey, said: dict[str, str]) -> None:
        """Replaces what was said before."""
        self._said.pop(key, None)
        if said:
            self._said[key] = said
