"""What of a decision about grants a person should know: waiting for one's turn is ordinary, these are not. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llmworker_operator.domain.refusals import Refusal

if TYPE_CHECKING:
    from llmworker_operator.domain.grants import GrantDecision

TOLD: Final = (Refusal.COMMON_CAUSE, Refusal.ATTEMPTS_EXHAUSTED, Refusal.HOURLY_LIMIT)
"""Reasons of `RemediationHeld`, the gravest first: only one can stand there."""


def held_by(decision: GrantDecision) -> tuple[str, str] | None:
    """Message and reason; None: nothing is held. A brake holds although nobody asks at the moment."""
    held = next((brake for brake in decision.brakes if brake.held), None)
    messages = {Refusal.COMMON_CAUSE: held.message} if held else {}
    for waiting in decision.waiting:
        messages.setdefault(waiting.refusal, waiting.message)
    for refusal in TOLD:
        if refusal in messages:
            asking = sum(waiting.refusal is refusal for waiting in decision.waiting)
            return f"{messages[refusal].rstrip('.')}; {asking} requests wait", refusal.value
    return None
