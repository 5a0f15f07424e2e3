"""What of a decision stands in `RemediationHeld`, and that it is said once."""

from __future__ import annotations

from typing import Any

from llmworker_operator.domain.brake import Brake
from llmworker_operator.domain.causes import Cause
from llmworker_operator.domain.grants import GrantDecision
from llmworker_operator.domain.held import held_by
from llmworker_operator.domain.refusals import Refusal, Waiting
from llmworker_operator.reconcile.status import transitions


def waiting(refusal: Refusal, name: str = "one") -> Waiting:
    return Waiting(incident=name, refusal=refusal, message=f"because of {refusal.value}.")


def brake(*, held: bool) -> Brake:
    cause = Cause(alike=(), replicas=2, episode=frozenset(), afflicted=frozenset(), whole_worker=True)
    return Brake(cause=cause, held=held, message="2 of 2 replicas.")


def test_waiting_for_ones_turn_is_ordinary() -> None:
    told = {Refusal.COMMON_CAUSE, Refusal.ATTEMPTS_EXHAUSTED, Refusal.HOURLY_LIMIT}
    ordinary = tuple(waiting(refusal) for refusal in Refusal if refusal not in told)
    assert held_by(GrantDecision(waiting=ordinary, brakes=(brake(held=False),))) is None
    assert held_by(GrantDecision()) is None


def test_the_gravest_is_said() -> None:
    several = [waiting(Refusal.HOURLY_LIMIT), waiting(Refusal.HOURLY_LIMIT, "two")]
    assert held_by(GrantDecision(waiting=tuple(several))) == ("because of HourlyLimit; 2 requests wait", "HourlyLimit")
    several.append(waiting(Refusal.ATTEMPTS_EXHAUSTED))
    message = "because of AttemptsExhausted; 1 requests wait"
    assert held_by(GrantDecision(waiting=tuple(several))) == (message, "AttemptsExhausted")
    held = GrantDecision(waiting=tuple(several), brakes=(brake(held=False), brake(held=True)))
    assert held_by(held) == ("2 of 2 replicas; 0 requests wait", "CommonCause")


def status(reason: str, message: str) -> dict[str, Any]:
    return {"conditions": [{"type": "RemediationHeld", "status": "True", "reason": reason, "message": message}]}


def test_it_is_said_once() -> None:
    """Who waits changes from pass to pass, and each pass of a long hold must not be an Event."""
    assert not transitions(status("CommonCause", "2 of 4; 1 requests wait"), status("CommonCause", "3 of 4; none"))
    assert transitions(status("HourlyLimit", "x"), status("CommonCause", "x"))
    assert transitions(status("CommonCause", "x"), {"conditions": []})
