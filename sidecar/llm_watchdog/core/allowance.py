"""May this replica be restarted now, where there is no operator to ask? The policy's budget for a fleet of one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from llm_watchdog.api.policy import BudgetPolicy

HOUR: Final = timedelta(hours=1)


def withheld(budget: BudgetPolicy, restarts: Iterable[datetime], now: datetime) -> str:
    """Why not; empty when it may. `restarts` are the earlier ones, whatever came of them.

    `maxUnavailable` has no meaning for one replica: a restart that is asked for takes down what is down already.
    """
    earlier = sorted(restarts)
    recent = [at for at in earlier if now - at < HOUR]
    if earlier and now - earlier[-1] < timedelta(seconds=budget.cooldown):
        rested = (now - earlier[-1]).total_seconds()
        return f"the last restart was {rested:.0f} s ago, cooldown is {budget.cooldown}"
    if len(recent) >= budget.max_per_hour:
        return f"{len(recent)} restarts within the last hour, maxPerHour is {budget.max_per_hour}"
    return ""
