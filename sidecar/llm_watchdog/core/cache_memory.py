"""Did a flush empty the prefix cache? Engines answer 200 and do nothing (vLLM up to 0.25, beside a running request).

The prompt of the cache's check tells: it was a hit before, so right after a flush it must miss. A part of it may hit
all the same, as a chat template has one beginning for all: only a hit as large as any before means that it was kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llm_watchdog.core.check_rounds import Arm, CheckKind, CheckObservation


@dataclass(frozen=True, slots=True)
class CacheMemory:
    """Of one engine process. Counts are tokens of the check's prompt."""

    full: float = 0.0
    """Of the largest hit that was seen."""
    flushed: bool = False
    """The next round is the first one after a flush."""
    kept: float = 0.0
    """Still there after the newest flush; 0: as far as is known, nothing."""

    def after_flush(self) -> CacheMemory:
        """What is not known to have been there cannot be missed."""
        return replace(self, flushed=self.full > 0, kept=0.0)

    def after_sleep(self) -> CacheMemory:
        """What was flushed before it is no matter any more."""
        return CacheMemory(full=self.full)

    def after_round(self, check: CheckObservation) -> CacheMemory:
        """With what one round has found."""
        if check.kind is not CheckKind.CACHE_PAIR:
            return self
        hits = [answer.hit_tokens or 0.0 for answer in check.answers if answer.arm is Arm.CACHED]
        if not check.conclusive or not hits:
            return replace(self, flushed=False)  # what was asked in it is in the cache anew
        kept = hits[0] if self.flushed and hits[0] >= self.full else 0.0
        return CacheMemory(full=max(self.full, *hits), kept=kept if self.flushed else self.kept)


def nothing_emptied(tokens: float) -> str:
    """What is told of such a flush."""
    return f"the flush emptied nothing: {tokens:g} tokens of a prompt from before it were still in the cache"
