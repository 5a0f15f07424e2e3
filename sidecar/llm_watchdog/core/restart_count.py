"""How often this replica was restarted within the hour, as the operator counts it from the incidents.

What the operator would refuse for ever is not asked for: the ladder goes on instead.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import Rung, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from llm_watchdog.core.case import Case

HOUR: Final = timedelta(hours=1)

_NOT_MADE: Final = frozenset({StepOutcome.UNAVAILABLE, StepOutcome.DRY_RUN})


def restarts_of(cases: Iterable[Case]) -> list[datetime]:
    """When each restart on record began, whatever came of it."""
    return [
        step.started_at
        for case in cases
        for step in case.status.steps
        if step.step is Rung.RESTART and step.outcome not in _NOT_MADE
    ]


def recent(restarts: Iterable[datetime], now: datetime) -> list[datetime]:
    """Those that still count."""
    return [at for at in restarts if at > now - HOUR]


def spent(restarts: Sequence[datetime], allowed: int) -> str:
    """Why there is no other restart; empty: there may be one. `restarts` are those that count."""
    if len(restarts) < allowed:
        return ""
    return f"{len(restarts)} restarts within the last hour, at most {allowed} are allowed for one replica"
