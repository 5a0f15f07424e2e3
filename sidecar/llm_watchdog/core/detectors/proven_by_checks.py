"""From confirmed complaints about rounds of checks to a finding: what the detectors that live on checks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.check_plan import conclusive
from llm_watchdog.core.complaints import confirmed
from llm_watchdog.core.findings import Finding, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.api.policy import EngineTarget
    from llm_watchdog.api.reasons import FaultClass, FindingReason
    from llm_watchdog.core.check_rounds import CheckKind, CheckObservation
    from llm_watchdog.core.complaints import Complaint
    from llm_watchdog.core.window import Window

SHOWN_CHARACTERS: Final = 40


def proven(
    window: Window, target: EngineTarget, kinds: Iterable[CheckKind], reasons: Iterable[FindingReason]
) -> tuple[Complaint, tuple[CheckObservation, ...]] | None:
    """The first of these reasons that stands, and the rounds that prove it. It stands until a round says otherwise."""
    found: dict[FindingReason, tuple[Complaint, tuple[CheckObservation, ...]]] = {}
    for kind in kinds:
        rounds = conclusive(window, kind)
        for complaint in confirmed(rounds, window.baseline, target.type):
            found.setdefault(complaint.reason, (complaint, rounds[-complaint.rounds :]))
    return next((found[reason] for reason in reasons if reason in found), None)


def finding(
    fault: FaultClass,
    complaint: Complaint,
    rounds: tuple[CheckObservation, ...],
    *,
    state: VerdictState = VerdictState.FAULTY,
) -> Finding:
    """With the answers of the newest round as evidence: it is the watchdog's own text."""
    counted = "" if complaint.rounds == 1 else f", in {len(rounds)} rounds in a row"
    return Finding(
        fault=fault,
        reason=complaint.reason,
        state=state,
        message=f"{complaint.message}{counted}",
        since=rounds[0].started_at,
        silent=False,
        signs=signs(rounds),
    )


def signs(rounds: tuple[CheckObservation, ...]) -> tuple[Sign, ...]:
    """Each answer of the newest round."""
    return tuple(
        Sign(
            at=answer.canary.started_at,
            kind="Check",
            message=(
                f"{rounds[-1].kind} {answer.prompt[:SHOWN_CHARACTERS]} {answer.arm}: {answer.canary.tokens} tokens, "
                f"{answer.canary.outcome}, {answer.canary.content.text[:SHOWN_CHARACTERS]!r}"
            ),
        )
        for answer in rounds[-1].answers
    )
