"""What is wrong with one round of checks, taken by itself; how many such rounds make a fault is said with each.

The detectors turn confirmed complaints into findings; the plan makes the confirming round follow at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.fingerprint import CLEAR, DRIFT_SHARE, STABLE_MIN, TIE, UNCLEAR, common_prefix
from llm_watchdog.api.reasons import FindingReason
from llm_watchdog.core import text
from llm_watchdog.core.baseline import Baseline, carries_own, drifted
from llm_watchdog.core.canaries import CanaryOutcome, Flaw
from llm_watchdog.core.check_prompts import FINGERPRINT, KNOWN_PREFIX
from llm_watchdog.core.check_rounds import Arm, CheckKind, CheckObservation
from llm_watchdog.core.repetition import repetition
from llm_watchdog.core.signature import departure, is_whole, ran_on, signature, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.check_rounds import CheckAnswer

TWICE: Final = 2
ECHO_FAILURES: Final = 3
"""Rounds without one right echo: with a nonce of its own each time, a model that can echo may fail now and then."""
APART_MIN: Final = 0.5
"""Of its first tokens two answers must differ, or neither is the signature of its prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """`rounds`: how many in a row of this kind must have it for it to be a fault; 1 is a proof."""

    reason: FindingReason
    message: str
    rounds: int = TWICE


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A complaint that stands, and the rounds that show it."""

    kind: CheckKind
    complaint: Complaint
    rounds: tuple[CheckObservation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What all rounds together say. It is worked out once for each new round, not once for each look."""

    proofs: tuple[Proof, ...] = ()
    doubts: tuple[tuple[CheckKind, Complaint], ...] = ()
    """About the newest round of a kind, to be confirmed or refuted by another one."""


def judged(checks: Sequence[CheckObservation], baseline: Baseline) -> Judged:
    """Look at every kind anew: what a round means may change with the baseline."""
    proofs: list[Proof] = []
    doubts: list[tuple[CheckKind, Complaint]] = []
    for kind in CheckKind:
        rounds = conclusive(checks, kind)
        for found in complaints(rounds, baseline) if rounds else ():
            if _in_a_row(rounds, baseline, found):
                proofs.append(Proof(kind=kind, complaint=found, rounds=rounds[-found.rounds :]))
            else:
                doubts.append((kind, found))
    return Judged(proofs=tuple(proofs), doubts=tuple(doubts))


def conclusive(checks: Sequence[CheckObservation], kind: CheckKind) -> tuple[CheckObservation, ...]:
    """The rounds of a kind that say something, of the model that is served now."""
    made = [check for check in checks if check.conclusive]
    return tuple(check for check in made if check.kind is kind and check.key == made[-1].key)


def complaints(rounds: Sequence[CheckObservation], baseline: Baseline) -> Iterator[Complaint]:
    """Of the newest round; those before it, of the same kind, are for what it may carry of them."""
    newest = rounds[-1]
    match newest.kind:
        case CheckKind.FINGERPRINT:
            yield from _broken(newest, newest.answers, baseline)
            other = [*_repetitive(newest, baseline), *_drifted(newest, baseline), *_forgotten(newest, baseline)]
            # What says something else altogether has no reason to stop where it did.
            yield from other or _endless(newest, baseline)
            yield from _wrong(newest)
        case CheckKind.CACHE_PAIR:
            yield from _broken(newest, [a for a in newest.answers if a.arm is Arm.COLD], baseline)
            yield from _corrupt_cache(newest, baseline)
        case CheckKind.CROSS_TALK | CheckKind.STALE:
            yield from _foreign_words(rounds)
            if not newest.beside:  # what is missing may be missing because of whoever else is there
                yield from _robbed(newest, baseline)
                yield from _other_signature(newest, baseline)
            yield from _echo_lost(newest, baseline)
        case CheckKind.SLOTS:
            yield from _slots(newest)


def _in_a_row(rounds: Sequence[CheckObservation], baseline: Baseline, found: Complaint) -> bool:
    if len(rounds) < found.rounds:
        return False
    earlier = (rounds[: len(rounds) - back] for back in range(1, found.rounds))
    return all(any(past.reason is found.reason for past in complaints(some, baseline)) for some in earlier)


def _broken(check: CheckObservation, given: Sequence[CheckAnswer], baseline: Baseline) -> Iterator[Complaint]:
    broken = [answer for answer in given if _is_broken(check, answer.canary, baseline)]
    if broken:
        how = broken[0].canary.detail or "log probabilities are null"
        yield Complaint(
            reason=FindingReason.BROKEN_NUMBERS,
            message=f"{len(broken)} of {len(given)} answers have broken numbers ({broken[0].prompt}: {how})",
        )


def _is_broken(check: CheckObservation, canary: CanaryObservation, baseline: Baseline) -> bool:
    """The engine refuses to write its numbers down, or sends null where it can send numbers."""
    if canary.flaw is not Flaw.BROKEN_NUMBERS:
        return False
    return None not in canary.content.logprobs or baseline.tells_logprobs or check.tells_numbers


def _repetitive(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    found = repetition(check, baseline.prompts, baseline.compressibility)
    if found.is_sick:
        yield Complaint(
            reason=FindingReason.REPETITION,
            message=(
                f"{found.answers} of {found.judged} answers repeat themselves far more than at baseline; together they "
                f"compress by {found.compressibility:.0%} (baseline {baseline.compressibility:.0%})"
            ),
        )


def _drifted(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    if check.raw and drifted(baseline.prompts, check):
        own = {prompt.prompt: prompt for prompt in baseline.stable}
        apart = [a.prompt for a in check.answers if a.prompt in own and departure(own[a.prompt], a.canary)]
        counted, named = f"{len(apart)} of {len(own)} greedy answers", f"({', '.join(apart)})"
        if baseline.lent:
            message = f"{counted} are unlike those of most other replicas {named}"
            yield Complaint(reason=FindingReason.DISSENTS, message=message)
        else:
            yield Complaint(reason=FindingReason.DRIFTED, message=f"{counted} have left the fingerprint {named}")


def _forgotten(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    """Behind a chat template, where other words are no drift: no date in it makes all that it knew go wrong at once."""
    rights = {prompt.name: prompt.right for prompt in FINGERPRINT}
    knew = {own.prompt for own in baseline.prompts if text.holds(own.text, rights[own.prompt])}
    asked = [answer for answer in check.answers if answer.prompt in knew]
    if check.raw or len(asked) < STABLE_MIN or any(text.holds(a.canary.content.text, rights[a.prompt]) for a in asked):
        return
    yield Complaint(
        reason=FindingReason.WRONG_ANSWER,
        message=f"none of the {len(asked)} questions that it answered rightly at baseline is answered rightly now",
    )


def _endless(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    stopping = {prompt.prompt: prompt for prompt in baseline.prompts if prompt.stops}
    asked = [answer for answer in check.answers if answer.prompt in stopping]
    endless = [answer for answer in asked if ran_on(stopping[answer.prompt], answer.canary)]
    if asked and len(endless) >= DRIFT_SHARE * len(asked):
        yield Complaint(
            reason=FindingReason.NO_STOP,
            message=(
                f"{len(endless)} of {len(asked)} prompts that stopped by themselves at baseline ran to their limit "
                f"({endless[0].prompt}: {endless[0].canary.tokens} tokens)"
            ),
        )


def _wrong(check: CheckObservation) -> Iterator[Complaint]:
    wrong = [answer for answer in check.answers if answer.prompt.startswith(KNOWN_PREFIX) and not answer.right]
    if wrong:
        asked = wrong[0].prompt.removeprefix(KNOWN_PREFIX)
        yield Complaint(
            reason=FindingReason.WRONG_ANSWER,
            message=f"{len(wrong)} known answers are wrong ({asked!r} is not answered with {wrong[0].expected!r})",
        )


def _corrupt_cache(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    """Right on a miss, wrong on a proven hit."""
    cold = [answer.canary for answer in check.answers if answer.arm is Arm.COLD]
    hits = [answer.canary for answer in check.answers if answer.arm is Arm.CACHED and answer.hit]
    if not cold or not all(map(is_whole, cold)) or any(_is_broken(check, c, baseline) for c in cold):
        return
    known = baseline.cached
    if known is not None and known.stable and check.raw and any(departure(known, answer) > TIE for answer in cold):
        return  # wrong on a miss too
    own = signature(cold[0].id, cold)
    # Without log probabilities a near tie cannot be told from a wrong answer, unless hits were seen to agree before.
    enough = UNCLEAR if baseline.pair_agrees else CLEAR
    wrong = [hit for hit in hits if _is_broken(check, hit, baseline) or departure(own, hit) >= enough]
    if wrong:
        yield Complaint(
            reason=FindingReason.CACHE_CORRUPT,
            message=f"right on a cache miss, wrong on a hit of {wrong[0].content.cached_tokens or 'some'} tokens",
        )


def _foreign_words(rounds: Sequence[CheckObservation]) -> Iterator[Complaint]:
    """A random nonce that another stream was given, now or in an earlier round."""
    *past, newest = rounds
    now = {group for answer in newest.answers if answer.arm is not Arm.DROPPED for group in answer.nonce.split()}
    before = {g for r in past for a in r.answers for g in a.nonce.split()}
    before |= {g for a in newest.answers if a.arm is Arm.DROPPED for g in a.nonce.split()}
    for answer in newest.answers:
        if answer.arm is Arm.DROPPED:
            continue
        own, content = set(answer.nonce.split()), answer.canary.content.text
        stale = sorted(group for group in before - now - own if group in content)
        foreign = sorted(group for group in now - own if group in content)
        if foreign:
            yield _proof(FindingReason.FOREIGN_CONTENT, f"a stream carries {foreign[0]!r}, which another was to repeat")
        if stale:
            what = "which was asked for in an earlier stream that is over"
            yield _proof(FindingReason.STALE_CONTENT, f"a stream carries {stale[0]!r}, {what}")


def _proof(reason: FindingReason, message: str) -> Complaint:
    return Complaint(reason=reason, message=message, rounds=1)


def _robbed(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    """Greedy, the same question, right alone a moment ago: only what is beside it is new."""
    if not baseline.echoes:
        return
    alone = {answer.prompt for answer in check.answers if answer.arm is Arm.ALONE and carries_own(answer)}
    beside = [answer for answer in check.answers if answer.arm is Arm.BESIDE]
    if not any(is_whole(answer.canary) for answer in beside):
        return  # the engine failed both, which is another fault
    robbed = [a for a in beside if a.prompt in alone and _came(a.canary) and not carries_own(a)]
    if robbed:
        yield Complaint(
            reason=FindingReason.OWN_WORDS_MISSING,
            message=f"{len(robbed)} of {len(beside)} streams were right alone and lost their own words beside another",
        )


def _came(canary: CanaryObservation) -> bool:
    """The engine accepted it; what it made of it counts."""
    return canary.outcome in (CanaryOutcome.SUCCEEDED, CanaryOutcome.INCOMPLETE, CanaryOutcome.TOKEN_GAP)


def _other_signature(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    """For models that cannot echo: beside another, the answer is that which the other prompt was given alone."""
    if baseline.echoes:
        return
    alone = {a.prompt: tokens_of(a.canary) for a in check.answers if a.arm is Arm.ALONE and is_whole(a.canary)}
    beside = {a.prompt: tokens_of(a.canary) for a in check.answers if a.arm is Arm.BESIDE}
    for mine, other in permutations(alone, 2):
        if mine not in beside or _agreement(alone[mine], alone[other]) > APART_MIN:
            continue
        if _agreement(beside[mine], alone[other]) > APART_MIN >= _agreement(beside[mine], alone[mine]):
            yield Complaint(
                reason=FindingReason.FOREIGN_CONTENT,
                message=f"beside another, {mine!r} was answered as {other!r} is when it is alone",
            )


def _agreement(one: Sequence[str], other: Sequence[str]) -> float:
    return common_prefix(one, other) / max(len(one), len(other), 1)


def _echo_lost(check: CheckObservation, baseline: Baseline) -> Iterator[Complaint]:
    alone = [answer for answer in check.answers if answer.arm is Arm.ALONE]
    if baseline.echoes and check.kind is CheckKind.CROSS_TALK and alone and not any(map(carries_own, alone)):
        how = "beside others" if check.beside else "alone"
        yield Complaint(
            reason=FindingReason.WRONG_ANSWER,
            message=f"none of {len(alone)} streams repeats its words, {how}, which it did at baseline",
            rounds=ECHO_FAILURES,
        )


def _slots(check: CheckObservation) -> Iterator[Complaint]:
    """The round itself demands twice; it is not repeated, as each dropped stream may cost a slot that leaks."""
    dropped = sum(answer.arm is Arm.DROPPED for answer in check.answers)
    demanded = [answer.canary for answer in check.answers if answer.arm is Arm.BESIDE]
    missing = [canary for canary in demanded if canary.outcome is CanaryOutcome.NO_FIRST_TOKEN]
    if dropped and missing:
        waited = max((canary.finished_at or canary.started_at) - canary.started_at for canary in missing)
        yield Complaint(
            reason=FindingReason.SLOTS_NOT_RETURNED,
            message=(
                f"{dropped} streams were dropped; of {len(demanded)} new ones {len(missing)} got no token "
                f"within {waited:.1f} s"
            ),
            rounds=1,
        )
