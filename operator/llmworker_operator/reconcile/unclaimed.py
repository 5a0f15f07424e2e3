"""Grants that ran out before anybody claimed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from llmworker_operator.domain.worker import WorkerKey


class Unclaimed:
    """When an incident's last one was withdrawn. A memory for fairness alone: without it the order is as at first."""

    def __init__(self) -> None:
        self._at: dict[WorkerKey, dict[str, datetime]] = {}

    def of(self, key: WorkerKey) -> Mapping[str, datetime]:
        return self._at.get(key, {})

    def note(self, key: WorkerKey, incident: str, at: datetime) -> None:
        self._at.setdefault(key, {})[incident] = at

    def keep(self, key: WorkerKey, incidents: Iterable[str]) -> None:
        """Forgets all others."""
        known = self._at.pop(key, {})
        if kept := {name: known[name] for name in incidents if name in known}:
            self._at[key] = kept
