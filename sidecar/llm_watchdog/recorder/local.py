"""A recorder without a cluster: the journal is the record, and nobody else has to be asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.incident import Grant
from llm_watchdog.api.reasons import Phase
from llm_watchdog.core.situation import Gate, IncidentView
from llm_watchdog.recorder.seam import ClusterView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from llm_watchdog.core.case import Case
    from llm_watchdog.core.rotation import Rotation

GRANT_LASTS: Final = timedelta(minutes=5)


class LocalRecorder:
    """Grants what is asked for: a single replica has no fleet that a budget could protect."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.changed = asyncio.Event()
        self._now = now
        self._view = ClusterView()

    def submit(self, cases: Sequence[Case], rotation: Rotation) -> None:
        """Acknowledged at once."""
        gate = self._view.gate
        if gate is None or gate.in_rotation != rotation.in_rotation:
            gate = Gate(in_rotation=rotation.in_rotation, since=self._now())
        view = ClusterView(
            incidents={case.name: self._granted(case) for case in cases},
            acknowledged={case.name: case.revision for case in cases},
            gate=gate,
        )
        if view != self._view:
            self._view = view
            self.changed.set()

    def _granted(self, case: Case) -> IncidentView:
        asked = case.status.requested_step
        earlier = self._view.incidents.get(case.name)
        grant = earlier.grant if earlier and earlier.phase is Phase.AWAITING_GRANT else None
        if case.status.phase is Phase.AWAITING_GRANT and asked is not None and (grant is None or grant.step != asked):
            grant = Grant(step=asked, granted_at=self._now(), expires_at=self._now() + GRANT_LASTS)
        return IncidentView(
            resource_version=str(case.revision), phase=case.status.phase, requested_step=asked, grant=grant
        )

    def view(self) -> ClusterView:
        """What was submitted last."""
        return self._view

    async def run(self) -> None:
        """Nothing to do."""
        await asyncio.Event().wait()
