"""Counts for the metrics: what has happened to incidents while this process lived."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Rung

if TYPE_CHECKING:
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.replica import Replica


class History:
    """Incidents and steps since the process started, by how they ended; the journal forgets closed ones."""

    def __init__(self, known: Replica) -> None:
        self.opened: Counter[str] = Counter()
        self.closed: Counter[tuple[str, str]] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self._seen = {case.name: case for case in known.cases}
        self._precaution = known.precaution

    def note(self, replica: Replica) -> None:
        """Called with every new memory; what was known when the process started is not counted again."""
        current = {case.name: case for case in replica.cases}
        for name, case in current.items():
            before = self._seen.get(name)
            if before is None and not case.closed:
                self.opened[case.fault.value] += 1
            self._note_end(before, case)
        self._seen = current
        taken = replica.precaution
        if taken is not None and taken.outcome is not None and taken != self._precaution:
            self.steps[Rung.FLUSH_CACHE.value, taken.outcome.value] += 1
        self._precaution = taken

    def _note_end(self, before: Case | None, case: Case) -> None:
        ended = {number for number, step in enumerate(before.status.steps) if step.outcome} if before else set()
        for number, step in enumerate(case.status.steps):
            if step.outcome is not None and number not in ended:
                self.steps[step.step.value, step.outcome.value] += 1
        if case.status.outcome is not None and (before is None or before.status.outcome is None):
            self.closed[case.fault.value, case.status.outcome.value] += 1
