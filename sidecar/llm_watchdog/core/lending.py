"""What most other replicas answer, lent to one that answers unlike them: from then on it is judged by that.

The operator compares replicas and passes the others' fingerprint on; it kills nobody. Everything after that is the
ordinary way: two fresh rounds that depart from it are a finding, a restart is proved by rounds that do not. The same
other answers after a restart too are this replica's own, for good.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.document import DocumentError, decode
from llm_watchdog.api.fingerprint import GreedyAnswer, departs, departure
from llm_watchdog.core.check_rounds import CheckKind
from llm_watchdog.core.complaints import conclusive, judged
from llm_watchdog.core.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.core.baseline import Baseline
    from llm_watchdog.core.window import Window

CHARACTERS_MAX: Final = 64_000
"""Some ten times what a fingerprint takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """As the operator writes it."""

    key: str
    """Of engine and model, as this replica's own baseline has it."""
    prompts: list[Signature] = field(default_factory=list)


def read_reference(text: str) -> Reference | None:
    """From the annotation; None for what is no fingerprint."""
    if not 0 < len(text) <= CHARACTERS_MAX:
        return None
    try:
        return decode(Reference, json.loads(text))
    except (DocumentError, ValueError, RecursionError):
        return None


def lend(window: Window, reference: Reference) -> Window:
    """The window as it is judged by the reference; unchanged where that says nothing new, or nothing at all.

    Rounds from before are no evidence: the next ones are made at once.
    """
    baseline = window.baseline
    if baseline.kept or baseline.key != reference.key or not _departs(baseline.prompts, reference.prompts):
        return window
    rounds = conclusive(window.checks, CheckKind.FINGERPRINT)
    if not rounds or not rounds[-1].raw:
        return window  # a chat template may hold the date: no two days' answers are comparable then
    lent = _judged_by(baseline, reference.prompts)
    checks = tuple(check for check in window.checks if check.kind is not CheckKind.FINGERPRINT)
    return replace(window, baseline=lent, checks=checks, judged=judged(checks, lent))


def _judged_by(baseline: Baseline, prompts: Sequence[Signature]) -> Baseline:
    return replace(
        baseline, prompts=list(prompts), drift=[], restarted_since=False, changed=False, kept=False, lent=True
    )


def _departs(own: Sequence[Signature], others: Sequence[Signature]) -> bool:
    """By the wider tolerance of the two; fewer than two prompts that both are sure of tell nothing."""
    mine = {prompt.prompt: prompt for prompt in own if prompt.stable}
    pairs = [(mine[other.prompt], other) for other in others if other.stable and other.prompt in mine]
    apart = [
        min(departure(_answer(one), _answer(other)), departure(_answer(other), _answer(one))) for one, other in pairs
    ]
    return bool(departs(apart))


def _answer(prompt: Signature) -> GreedyAnswer:
    return GreedyAnswer(tokens=prompt.tokens, by_id=prompt.by_id, logprobs=prompt.logprobs, tolerance=prompt.tolerance)
