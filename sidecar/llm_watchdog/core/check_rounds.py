"""Rounds of active checks: what was asked, how, and what was answered. The detectors judge."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llm_watchdog.core.canaries import CanaryObservation


class CheckKind(StrEnum):
    """Active checks; each is one canary in the sense of invariant 8."""

    FINGERPRINT = "Fingerprint"
    """Greedy answers to the fixed prompts, known answers, and prompts that stopped by themselves."""
    CACHE_PAIR = "CachePair"
    """One prompt on a miss and on a hit."""
    CROSS_TALK = "CrossTalk"
    """Two at once, each with a nonce, after each of them alone."""
    STALE = "Stale"
    """One that is dropped, then one alone."""
    SLOTS = "Slots"
    """K streams that are dropped, then K slots demanded back."""


class Arm(StrEnum):
    """Under which circumstances an answer was given."""

    ALONE = "Alone"
    BESIDE = "Beside"
    COLD = "Cold"
    """With a proven, or enforced, cache miss."""
    CACHED = "Cached"
    DROPPED = "Dropped"
    """Abandoned on purpose after its first tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """One stream of a check."""

    prompt: str
    """Name of the prompt in its set."""
    arm: Arm
    nonce: str = ""
    """The words that only this stream may carry; empty where it has none."""
    expected: str = ""
    """What a known answer must contain, whatever the letters' case."""
    canary: CanaryObservation
    hit_tokens: float | None = None
    """So much of it came from the prefix cache, by the engine's own count; None: it does not tell."""

    @property
    def hit(self) -> bool | None:
        """The prefix cache was used for it."""
        return None if self.hit_tokens is None else self.hit_tokens > 0

    @property
    def right(self) -> bool:
        """It contains what was expected."""
        return self.expected.casefold() in self.canary.content.text.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckObservation:
    """One round of one check. `not_applicable` says why it could not be made; such a round holds nothing up."""

    at: float
    """Its end."""
    started_at: float
    kind: CheckKind
    answers: tuple[CheckAnswer, ...] = ()
    disturbed: bool = False
    """Somebody else was served meanwhile, or the engine fell silent: no evidence either way, to be made again."""
    not_applicable: str = ""
    beside: bool = False
    """Made while others were being served: compared with the baseline, and never one itself."""
    key: str = ""
    """Engine type, version, model and shape of the request: what a baseline must have in common with it."""
    raw: bool = True
    """Asked without a chat template, which may hold today's date."""
    tells_numbers: bool = True
    """This kind of engine sends numbers for log probabilities; a gateway may fill the field with nulls."""

    @property
    def conclusive(self) -> bool:
        """It was made, and nobody interfered."""
        return not self.disturbed and not self.not_applicable
