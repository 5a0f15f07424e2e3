"""What one prompt is answered greedily by this replica, and how far another answer departs from that."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from llm_watchdog.api import fingerprint
from llm_watchdog.api.fingerprint import LOGPROB_TOLERANCE, GreedyAnswer
from llm_watchdog.core import text
from llm_watchdog.core.canaries import CanaryOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.core.canaries import CanaryObservation

FAR_LONGER: Final = 2
"""Times the characters."""
DIGITS: Final = 4
SPREAD_FACTOR: Final = 3.0
STABLE_SHARE: Final = 0.8
"""Of the baseline's runs must agree, four of five, for a prompt to be one that the model is sure of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Lists, not tuples: it is journalled."""

    prompt: str
    text: str = ""
    tokens: list[str] = field(default_factory=list)
    """Token ids as text, or pieces of the text where the engine tells no ids."""
    by_id: bool = False
    logprobs: list[float] = field(default_factory=list)
    """One for each token, or none."""
    tolerance: float = LOGPROB_TOLERANCE
    stable: bool = True
    """The runs agree: an answer of low margin is no fingerprint."""
    stops: bool = False
    """Stopped by itself in every run, in at most half of the tokens that it might have taken. Where no finish reason is
    ever told, that it did not take them says so."""
    repetition: float = 0.0
    """The highest of the runs."""
    entropy: float = 0.0
    """The lowest of the runs, in bits per token."""


def signature(prompt: str, runs: Sequence[CanaryObservation]) -> Signature:
    """Of one or more answers to the same prompt; the most frequent one stands for all."""
    frequent, count = Counter(tokens_of(run) for run in runs).most_common(1)[0]
    chosen = next(run for run in runs if tokens_of(run) == frequent)
    logprobs = logprobs_of(chosen)
    alike = [logprobs_of(run) for run in runs if tokens_of(run) == frequent]
    spread = max((fingerprint.logprob_distance(logprobs, other, len(frequent)) for other in alike), default=0.0)
    return Signature(
        prompt=prompt,
        text=chosen.content.text,
        tokens=list(frequent),
        by_id=bool(chosen.content.token_ids),
        logprobs=[round(value, DIGITS) for value in logprobs],
        tolerance=max(LOGPROB_TOLERANCE, SPREAD_FACTOR * spread),
        stable=count >= STABLE_SHARE * len(runs),
        stops=all(run.finish in ("stop", None) and 2 * extent(run) <= run.max_tokens for run in runs),
        repetition=max(text.repetition(tokens_of(run)) for run in runs),
        entropy=min(text.entropy(tokens_of(run)) for run in runs),
    )


def departure(own: Signature, answer: CanaryObservation) -> float:
    """`NONE`, `TIE`, `UNCLEAR` or `CLEAR`. An answer that cannot be compared does not depart."""
    tokens, by_id = tokens_of(answer), bool(answer.content.token_ids)
    return fingerprint.departure(
        GreedyAnswer(tokens=own.tokens, by_id=own.by_id, logprobs=own.logprobs, tolerance=own.tolerance),
        GreedyAnswer(tokens=tokens, by_id=by_id, logprobs=logprobs_of(answer)),
    )


def tokens_of(answer: CanaryObservation) -> tuple[str, ...]:
    """The ids, else pieces of the text."""
    ids = answer.content.token_ids
    return tuple(str(token) for token in ids) if ids else text.pieces(answer.content.text)


def extent(answer: CanaryObservation) -> int:
    """Tokens, but no fewer than its words: several tokens may come in one chunk, and be counted as one."""
    return max(answer.tokens, sum(not piece.isspace() for piece in text.pieces(answer.content.text)))


def ran_on(own: Signature, answer: CanaryObservation) -> bool:
    """To the limit, by its finish reason; where none is told, by its extent, and far beyond what it was before."""
    if answer.finish is not None:
        return answer.finish == "length"
    longer = len(answer.content.text) >= FAR_LONGER * max(len(own.text), 1)
    return is_whole(answer) and longer and extent(answer) >= answer.max_tokens > 0


def logprobs_of(answer: CanaryObservation) -> tuple[float, ...]:
    """One for each token id, all of them numbers, or none."""
    told = tuple(value for value in answer.content.logprobs if value is not None)
    return told if len(told) == len(answer.content.token_ids) else ()


def is_whole(answer: CanaryObservation) -> bool:
    """It came to its end; the cap is a good one."""
    return answer.outcome is CanaryOutcome.SUCCEEDED
