"""Replicas of one revision on the same type of accelerator answer fixed prompts alike; who does not is bad. Pure."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api.fingerprint import GreedyAnswer, departs, departure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llmworker_operator.domain.replica import Replica

REPLICAS_MIN: Final = 3
"""Of two that differ nobody can say which is wrong."""
SHOWN: Final = 40
"""Characters of an answer in a message."""
TEXT_MAX: Final = 1000
"""Characters of an answer of that many tokens, and more than they have."""
TOKENS_MAX: Final = 64
"""Of one answer; the fixed prompts ask for 24 at most. What is longer does not come from a watchdog."""


class DissentReason(StrEnum):
    """What the comparison says."""

    REPLICA_DISSENTS = "ReplicaDissents"
    """Most agree, and this one with none of them."""
    ALL_DISSENT = "AllDissent"
    """No two agree: the model or the image is bad, no replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One prompt's answer, and its text for people: the watchdog's own prompt, nobody's request."""

    answer: GreedyAnswer
    text: str = ""
    repetition: float = 0.0
    """How repetitive it is, by the watchdog's measure."""
    entropy: float = 0.0
    """Bits per token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What one replica answers the prompts that its model is sure of."""

    pod: str
    group: tuple[str, ...]
    """Of those that are comparable: revision, type of accelerator, engine and model as the watchdog knows them."""
    answers: Mapping[str, Said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissent:
    """One group that does not agree."""

    reason: DissentReason
    message: str
    pods: tuple[str, ...] = ()
    """Who dissents; empty where all do."""
    reference: str = ""
    """What the others answer, as it is written on the pod of one that dissents."""


def read_fingerprint(status: Mapping[str, Any], replica: Replica, accelerator: str) -> Fingerprint | None:
    """From a watchdog's `/status`; None before it has a baseline. What is no fingerprint by its types is none."""
    try:
        baseline = status["replica"]["baseline"]
        answers = {str(each["prompt"]): _said(each) for each in baseline["prompts"] if each["stable"] is True}
        group = (replica.revision, accelerator, str(baseline["key"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Fingerprint(pod=replica.name, group=group, answers=answers) if answers else None


def _said(document: Mapping[str, Any]) -> Said:
    """Raises KeyError, TypeError and ValueError."""
    tokens = [str(token) for token in document["tokens"]]
    logprobs = [float(value) for value in document["logprobs"]]
    tolerance = float(document["tolerance"])
    repetition, entropy = float(document.get("repetition", 0.0)), float(document.get("entropy", 0.0))
    if len(tokens) > TOKENS_MAX or not all(map(math.isfinite, (*logprobs, tolerance, repetition, entropy))):
        raise ValueError("no fingerprint")
    told = logprobs if len(logprobs) == len(tokens) else []
    answer = GreedyAnswer(tokens=tokens, by_id=document["byId"] is True, logprobs=told, tolerance=tolerance)
    return Said(answer=answer, text=str(document["text"])[:TEXT_MAX], repetition=repetition, entropy=entropy)


def compare(fingerprints: Iterable[Fingerprint]) -> tuple[Dissent, ...]:
    """One for each group that does not agree; nothing where it cannot be told, or where half stands against half."""
    groups: dict[tuple[str, ...], list[Fingerprint]] = defaultdict(list)
    for each in sorted(fingerprints, key=lambda f: f.pod):
        groups[each.group].append(each)
    found = (_judge(members) for _, members in sorted(groups.items()) if len(members) >= REPLICAS_MIN)
    return tuple(dissent for dissent in found if dissent is not None)


def _judge(members: Sequence[Fingerprint]) -> Dissent | None:
    apart = {frozenset((a.pod, b.pod)): _apart(a, b) for a, b in combinations(members, 2)}
    if all(apart.values()):
        return _all(members)

    def relation(one: Fingerprint, other: Fingerprint) -> bool | None:
        return apart[frozenset((one.pod, other.pod))]

    def supporters(one: Fingerprint) -> int:
        return sum(relation(one, other) is False for other in members if other is not one)

    core = [one for one in members if 2 * (1 + supporters(one)) > len(members)]
    others = [one for one in members if one not in core]
    dissenters = [one for one in others if core and all(relation(one, each) for each in core)]
    return _some(dissenters, core) if dissenters else None


def _apart(one: Fingerprint, other: Fingerprint) -> bool | None:
    """Judged by the wider tolerance of the two; None: not comparable."""
    return departs([_departure(one.answers[name], other.answers[name]) for name in _shared(one, other)])


def _departure(one: Said, other: Said) -> float:
    return min(departure(one.answer, other.answer), departure(other.answer, one.answer))


def _shared(one: Fingerprint, other: Fingerprint) -> list[str]:
    return sorted(one.answers.keys() & other.answers.keys())


def _some(dissenters: Sequence[Fingerprint], core: Sequence[Fingerprint]) -> Dissent:
    first, most = dissenters[0], core[0]
    name = max(_shared(first, most), key=lambda n: _departure(first.answers[n], most.answers[n]))
    names, others = ", ".join(each.pod for each in dissenters), ", ".join(each.pod for each in core)
    message = (
        f"{names} answers unlike {others} of the same revision on the same type of accelerator: to the prompt {name!r} "
        f"{first.answers[name].text[:SHOWN]!r} instead of {most.answers[name].text[:SHOWN]!r}"
    )
    dissenting = tuple(each.pod for each in dissenters)
    return Dissent(reason=DissentReason.REPLICA_DISSENTS, message=message, pods=dissenting, reference=_reference(most))


def _reference(fingerprint: Fingerprint) -> str:
    """As `core.lending` of the watchdog reads it."""
    prompts = [
        {
            "prompt": name,
            "text": said.text,
            "tokens": list(said.answer.tokens),
            "byId": said.answer.by_id,
            "logprobs": list(said.answer.logprobs),
            "tolerance": said.answer.tolerance,
            "repetition": said.repetition,
            "entropy": said.entropy,
        }
        for name, said in sorted(fingerprint.answers.items())
    ]
    return json.dumps({"key": fingerprint.group[-1], "prompts": prompts}, sort_keys=True, separators=(",", ":"))


def _all(members: Sequence[Fingerprint]) -> Dissent:
    names = ", ".join(each.pod for each in members)
    message = (
        f"no two of {names} answer fixed prompts alike, on the same type of accelerator with the same revision: "
        "look at the model and the image, not at a replica"
    )
    return Dissent(reason=DissentReason.ALL_DISSENT, message=message)
