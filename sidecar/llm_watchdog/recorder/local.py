"""A recorder without a cluster: the journal is the record, and the policy's budget is asked instead of the operator."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog import orders
from llm_watchdog.api.incident import Grant
from llm_watchdog.api.reasons import GrantableStep, Phase
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.core.allowance import withheld
from llm_watchdog.core.situation import Gate, IncidentView
from llm_watchdog.recorder.seam import ClusterView

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llm_watchdog.api.policy import BudgetPolicy
    from llm_watchdog.core.case import Case
    from llm_watchdog.core.precaution import Precaution
    from llm_watchdog.core.rotation import Rotation
    from llm_watchdog.core.situation import Modes

GRANT_LASTS: Final = timedelta(minutes=5)

log = logging.getLogger(__name__)


class LocalRecorder:
    """Grants departures from rotation at once, as there is no fleet that could lose its last replica, and restarts as
    the budget allows.
    """

    def __init__(
        self,
        now: Callable[[], datetime],
        budget: Callable[[], BudgetPolicy],
        modes: Callable[[], Modes],
        journal_dir: Path,
    ) -> None:
        self.changed = asyncio.Event()
        self.held_back = ""
        """Why a restart that is asked for is not granted yet."""
        self._now = now
        self._budget = budget
        self._modes = modes
        self._journal_dir = journal_dir
        self._view = ClusterView(modes=modes())

    def submit(self, cases: Sequence[Case], rotation: Rotation, precaution: Precaution | None = None) -> None:  # noqa: ARG002
        """Acknowledged at once. Called with every pass, so a grant comes when its time has come."""
        gate = self._view.gate
        if gate is None or gate.in_rotation != rotation.in_rotation:
            gate = Gate(in_rotation=rotation.in_rotation, since=self._now())
        self._weigh(cases)
        view = ClusterView(
            incidents={case.name: self._seen(case) for case in cases},
            acknowledged={case.name: case.revision for case in cases},
            gate=gate,
            modes=self._modes(),
        )
        if view != self._view:
            self._view = view
            self.changed.set()

    def _weigh(self, cases: Sequence[Case]) -> None:
        held_back = ""
        if any(_asks_for(case, GrantableStep.RESTART) for case in cases):
            held_back = withheld(_bounded(self._budget()), self._restarts(), self._now())
        if held_back and not self.held_back:
            log.warning("a restart waits: %s", held_back)
        self.held_back = held_back

    def _restarts(self) -> list[datetime]:
        """By this process and earlier ones, whatever came of them."""
        return [datetime.fromtimestamp(at, UTC) for _, at in orders.honoured(str(self._journal_dir))]

    def _seen(self, case: Case) -> IncidentView:
        asked = case.status.requested_step
        earlier = self._view.incidents.get(case.name)
        grant = earlier.grant if earlier and earlier.phase is Phase.AWAITING_GRANT else None
        if asked is not None and _asks_for(case, asked) and (grant is None or grant.step != asked):
            grant = self._grant(asked)
        return IncidentView(
            resource_version=str(case.revision), phase=case.status.phase, requested_step=asked, grant=grant
        )

    def _grant(self, step: GrantableStep) -> Grant | None:
        if step is GrantableStep.RESTART and self.held_back:
            return None
        return Grant(step=step, granted_at=self._now(), expires_at=self._now() + GRANT_LASTS)

    def view(self) -> ClusterView:
        """What was submitted last."""
        return self._view

    async def run(self) -> None:
        """Nothing to do."""
        await asyncio.Event().wait()


def _bounded(budget: BudgetPolicy) -> BudgetPolicy:
    """What the net below the budget would refuse is not granted: a refused order is a failed step."""
    cooldown = Seconds(max(budget.cooldown, orders.APART_SECONDS))
    return replace(budget, max_per_hour=min(budget.max_per_hour, orders.PER_HOUR), cooldown=cooldown)


def _asks_for(case: Case, step: GrantableStep) -> bool:
    return case.status.phase is Phase.AWAITING_GRANT and case.status.requested_step is step
