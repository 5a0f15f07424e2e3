"""This replica's own baseline: what it answers when it is well. Every judgement of its output is against this.

It outlives a restart of the engine and a sleep, so that what comes after can be compared with what was before, and it
is journalled, so that it outlives the watchdog's process too. Another engine version or model begins a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.fingerprint import TIE, departs
from llm_watchdog.core import text
from llm_watchdog.core.check_prompts import CACHED, FINGERPRINT, KNOWN_PREFIX
from llm_watchdog.core.check_rounds import Arm, CheckKind, CheckObservation
from llm_watchdog.core.repetition import repetition, said
from llm_watchdog.core.signature import Signature, departure, is_whole, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_watchdog.core.check_rounds import CheckAnswer

RUNS: Final[dict[CheckKind, int]] = {CheckKind.FINGERPRINT: 5, CheckKind.CACHE_PAIR: 2, CheckKind.CROSS_TALK: 2}
"""Rounds that a baseline is made of."""
ECHO_SHARE: Final = 0.75
"""Of the answers alone must carry their nonce for the model to be one that can echo."""
CONFIRMED: Final = 2
"""Rounds in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Parts that are empty have not been measured. Lists, not tuples: it is journalled."""

    key: str = ""
    prompts: list[Signature] = field(default_factory=list)
    compressibility: float = 0.0
    """Of all answers of a round together, the highest of the runs."""
    tells_logprobs: bool = False
    """This replica has told log probabilities that were numbers."""
    cached: Signature | None = None
    """The answer to the long prompt on a cache miss."""
    pair_agrees: bool = False
    """On a hit it was answered alike."""
    asked_to_echo: int = 0
    echoed: int = 0
    knew: list[str] = field(default_factory=list)
    """The user's questions that it has answered rightly."""
    drift: list[Signature] = field(default_factory=list)
    """The other answers that it gives since it drifted."""
    restarted_since: bool = False
    """Since it drifted."""
    changed: bool = False
    """The same other answers after a restart too: what was learned before is void, and these are the baseline now."""
    lent: bool = False
    """`prompts` are what most other replicas answer, who answered unlike this one."""
    kept: bool = False
    """The same other answers than theirs after a restart too: they are this replica's own, and it is not lent theirs
    again."""

    @property
    def stable(self) -> list[Signature]:
        """What the fingerprint consists of."""
        return [prompt for prompt in self.prompts if prompt.stable]

    @property
    def echoes(self) -> bool | None:
        """Can this model repeat a nonce when it is alone? None: not measured."""
        return self.echoed >= ECHO_SHARE * self.asked_to_echo if self.asked_to_echo else None

    def restarted(self) -> Baseline:
        """Another engine process. What was learned of one that dissented is no measure of the next."""
        after = replace(self, restarted_since=bool(self.drift), changed=False)
        if not (self.lent and self.drift):
            return after
        return replace(after, cached=None, pair_agrees=False, asked_to_echo=0, echoed=0)


def learn(baseline: Baseline, rounds: Sequence[CheckObservation]) -> Baseline:
    """What the newest round adds, given those before it. Sick output is never learned."""
    newest = rounds[-1]
    if not newest.conclusive:
        return baseline
    if newest.key != baseline.key:
        baseline = Baseline(key=newest.key)
    alike = [past for past in rounds if past.kind is newest.kind and past.conclusive and past.key == newest.key]
    match newest.kind:
        case CheckKind.FINGERPRINT:
            return _fingerprint(_known(baseline, newest), alike)
        case CheckKind.CACHE_PAIR:
            return _cached(baseline, alike)
        case CheckKind.CROSS_TALK:
            return _echo(baseline, alike)
        case _:
            return baseline


def drifted(prompts: Sequence[Signature], check: CheckObservation) -> bool | None:
    """Have the answers left these signatures, k of n? None: too few prompts that the model is sure of."""
    stable = {prompt.prompt: prompt for prompt in prompts if prompt.stable}
    return departs([departure(stable[a.prompt], a.canary) for a in check.answers if a.prompt in stable])


def _fingerprint(baseline: Baseline, rounds: Sequence[CheckObservation]) -> Baseline:
    whole = [past for past in rounds if _is_sound(past)]
    if baseline.prompts:
        # A template may hold the date: what was said yesterday is no measure then.
        return _follow_drift(baseline, rounds, whole) if rounds[-1].raw else baseline
    runs = [past for past in whole if not past.beside][-RUNS[CheckKind.FINGERPRINT] :]
    return _begin(baseline, runs) if len(runs) == RUNS[CheckKind.FINGERPRINT] else baseline


def _follow_drift(
    baseline: Baseline, rounds: Sequence[CheckObservation], whole: Sequence[CheckObservation]
) -> Baseline:
    """Remember other answers that are confirmed, and take them for the baseline once a restart has not cured them."""
    newest = rounds[-1]
    now = drifted(baseline.prompts, newest)
    if now is False:
        return replace(baseline, drift=[], restarted_since=False)
    fluent = newest in whole and not repetition(newest, baseline.prompts, baseline.compressibility).is_sick
    if now is None or not fluent:
        return baseline
    if baseline.restarted_since:
        return _adopt(baseline, whole)
    confirmed = len(rounds) >= CONFIRMED and drifted(baseline.prompts, rounds[-CONFIRMED])
    return replace(baseline, drift=_signatures(rounds[-1:])) if confirmed else baseline


def _begin(baseline: Baseline, runs: Sequence[CheckObservation]) -> Baseline:
    return replace(
        baseline,
        prompts=_signatures(runs),
        compressibility=max(text.compressibility(said(run)) for run in runs),
        tells_logprobs=any(
            value is not None for run in runs for answer in run.answers for value in answer.canary.content.logprobs
        ),
    )


def _adopt(baseline: Baseline, rounds: Sequence[CheckObservation]) -> Baseline:
    """It was changed by somebody: two rounds in the new process that are as the drift was before the restart."""
    alike = [past for past in rounds[-CONFIRMED:] if drifted(baseline.drift, past) is False]
    if len(alike) < CONFIRMED:
        return baseline
    # Which prompts it is sure of, and how it echoes, may be other now; the fingerprint itself is what is known.
    anew = Baseline(key=baseline.key, tells_logprobs=baseline.tells_logprobs, changed=True, kept=baseline.lent)
    return replace(
        anew, prompts=_signatures(alike), compressibility=max(text.compressibility(said(run)) for run in alike)
    )


def _signatures(runs: Sequence[CheckObservation]) -> list[Signature]:
    answers = [(answer.prompt, answer.canary) for run in runs for answer in run.answers]
    return [
        signature(prompt.name, given)
        for prompt in FINGERPRINT
        if (given := [canary for name, canary in answers if name == prompt.name])
    ]


def _known(baseline: Baseline, check: CheckObservation) -> Baseline:
    right = [
        a.prompt.removeprefix(KNOWN_PREFIX) for a in check.answers if a.prompt.startswith(KNOWN_PREFIX) and a.right
    ]
    new = [question for question in right if question not in baseline.knew]
    return replace(baseline, knew=[*baseline.knew, *new]) if new else baseline


def _cached(baseline: Baseline, rounds: Sequence[CheckObservation]) -> Baseline:
    runs = [past for past in rounds if _is_sound(past)][-RUNS[CheckKind.CACHE_PAIR] :]
    if baseline.cached is not None or len(runs) < RUNS[CheckKind.CACHE_PAIR]:
        return baseline
    own = signature(CACHED.name, [answer.canary for run in runs for answer in run.answers if answer.arm is Arm.COLD])
    hits = [answer.canary for run in runs for answer in run.answers if answer.hit]
    agrees = own.stable and all(departure(own, hit) <= TIE for hit in hits)
    return replace(baseline, cached=own, pair_agrees=agrees)


def _echo(baseline: Baseline, rounds: Sequence[CheckObservation]) -> Baseline:
    rounds = [past for past in rounds if not past.beside]
    if baseline.asked_to_echo or len(rounds) < RUNS[CheckKind.CROSS_TALK]:
        return baseline
    alone = [answer for past in rounds for answer in past.answers if answer.arm is Arm.ALONE]
    return replace(baseline, asked_to_echo=len(alone), echoed=sum(map(carries_own, alone)))


def carries_own(answer: CheckAnswer) -> bool:
    """Any group of its nonce stands in its text."""
    return any(group in answer.canary.content.text for group in answer.nonce.split())


def _is_sound(check: CheckObservation) -> bool:
    """All of it came, and no number in it was broken."""
    return bool(check.answers) and all(is_whole(answer.canary) for answer in check.answers)
