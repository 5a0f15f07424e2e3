"""What an engine's answer to a control call says about the order behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.core.situation import OrderState

if TYPE_CHECKING:
    from llm_watchdog.probes.engine_client import Answer

OK: Final = 200
NOT_OFFERED: Final = frozenset({404, 405, 501})


def failed(answer: Answer, needs: str) -> tuple[OrderState, str] | None:
    """Why it was not carried out; None: a 200, whose body may still tell otherwise. `needs`: what it may lack."""
    if answer.status is None:
        timed_out = answer.kind is AnswerKind.SILENT
        return (OrderState.TIMED_OUT if timed_out else OrderState.REFUSED), answer.detail
    if answer.status in NOT_OFFERED:
        return OrderState.UNAVAILABLE, f"HTTP {answer.status}: {needs}"
    if answer.status != OK:
        return OrderState.REFUSED, f"HTTP {answer.status}"
    return None
