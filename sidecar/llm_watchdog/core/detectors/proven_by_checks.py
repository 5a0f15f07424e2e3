"""From confirmed complaints about rounds of checks to a finding: what the detectors that live on checks share."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.findings import Finding, Sign

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from llm_watchdog.api.reasons import FaultClass, FindingReason
    from llm_watchdog.core.check_rounds import CheckObservation
    from llm_watchdog.core.complaints import Proof
    from llm_watchdog.core.window import Window

SHOWN_CHARACTERS: Final = 40


def proven(window: Window, kinds: Collection[CheckKind], reasons: Iterable[FindingReason]) -> Proof | None:
    """The first of these reasons that stands. It stands until a round says otherwise."""
    found = [proof for proof in window.judged.proofs if proof.kind in kinds]
    return next((proof for reason in reasons for proof in found if proof.complaint.reason is reason), None)


def finding(fault: FaultClass, proof: Proof, *, state: VerdictState = VerdictState.FAULTY) -> Finding:
    """With the answers of the newest round as evidence."""
    rounds = proof.rounds
    counted = "" if len(rounds) == 1 else f", in {len(rounds)} rounds in a row"
    return Finding(
        fault=fault,
        reason=proof.complaint.reason,
        state=state,
        message=f"{proof.complaint.message}{counted}",
        since=rounds[0].started_at,
        silent=False,
        signs=signs(rounds[-1]),
    )


FOREIGN: Final = frozenset({CheckKind.CROSS_TALK, CheckKind.STALE})
"""Where streams are mixed up, what a stream says may be a user's."""


def signs(check: CheckObservation) -> tuple[Sign, ...]:
    """Each answer of a round; its text only where it can be nobody's but ours."""
    return tuple(
        Sign(
            at=answer.canary.started_at,
            kind="Check",
            message=(
                f"{check.kind} {answer.prompt[:SHOWN_CHARACTERS]} {answer.arm}: {answer.canary.tokens} tokens, "
                f"{answer.canary.outcome}, {_shown(check.kind, answer.canary.content.text)}"
            ),
        )
        for answer in check.answers
    )


def _shown(kind: CheckKind, text: str) -> str:
    if kind in FOREIGN:
        return f"{len(text)} characters, sha256 {sha256(text.encode()).hexdigest()[:12]}"
    return repr(text[:SHOWN_CHARACTERS])
