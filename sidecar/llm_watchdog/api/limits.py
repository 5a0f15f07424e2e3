"""What cannot be seen or done with an engine, given its spec. It is said at apply and in a condition, never skipped
without a word.

The dialects' own `Capabilities` are out of the operator's sight; a test ties the tables here to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineTask, EngineType
from llm_watchdog.api.thresholds import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_watchdog.api.policy import EngineTarget, WatchdogPolicy


class LimitReason(StrEnum):
    """Which part of the watching is limited, the gravest first."""

    NO_CANARY = "NoCanary"
    LEAKS_UNSEEN = "LeaksUnseen"
    CROSS_TALK_UNCHECKED = "CrossTalkUnchecked"
    CROSS_TALK_CHECK_DISTURBS = "CrossTalkCheckDisturbs"
    SLOTS_UNCHECKED = "SlotsUnchecked"
    CANARY_ON_SUSPICION = "CanaryOnSuspicion"
    PROGRESS_UNSEEN = "ProgressUnseen"
    LOAD_UNSEEN = "LoadUnseen"
    CACHE_UNCHECKED = "CacheUnchecked"
    NO_FLUSH = "NoFlush"
    SLEEP_UNSEEN = "SleepUnseen"
    NO_ABORT = "NoAbort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit, and a sentence that names its consequence, and its remedy where there is one."""

    reason: LimitReason
    message: str


class Ability(StrEnum):
    """The fields of a dialect's `Capabilities` whose absence limits the watching."""

    PROGRESS = "progress"
    LOAD = "load"
    CACHE_BYPASS = "cache_bypass"
    FLUSH = "flush"
    SLEEP = "sleep"
    ABORT = "abort"


_NOTHING_PASSIVE: Final = frozenset(Ability)
_A: Final = Ability

LACKS: Final[dict[EngineType, frozenset[Ability]]] = {
    EngineType.VLLM: frozenset(),
    EngineType.SGLANG: frozenset(),
    EngineType.LLAMACPP: frozenset({_A.FLUSH}),
    EngineType.TGI: frozenset({_A.CACHE_BYPASS, _A.FLUSH, _A.SLEEP}),
    EngineType.OLLAMA: frozenset({_A.PROGRESS, _A.CACHE_BYPASS, _A.FLUSH}),
    EngineType.FASTCHAT: _NOTHING_PASSIVE - {_A.LOAD, _A.ABORT},
    EngineType.DBGPT: _NOTHING_PASSIVE - {_A.LOAD, _A.ABORT},
    EngineType.LAZYLLM: _NOTHING_PASSIVE,
    EngineType.CHATCHAT: _NOTHING_PASSIVE,
    EngineType.OPENAI: _NOTHING_PASSIVE - {_A.CACHE_BYPASS},
}

BYPASS_BY_PREFIX: Final = frozenset({EngineType.OPENAI})
"""No field of a request goes around the cache; a prefix of its own does, and changes the answer unless it is known."""

CROSS_TALK_CHECK_ROBS: Final = frozenset({EngineType.LAZYLLM})
"""Where streams are mixed up there, the check takes words out of users' streams."""

_SENTENCES: Final[dict[Ability, Limit]] = {
    Ability.PROGRESS: Limit(
        reason=LimitReason.PROGRESS_UNSEEN,
        message="no counter tells whether it generates: beside users only the bytes on their connections do",
    ),
    Ability.LOAD: Limit(
        reason=LimitReason.LOAD_UNSEEN,
        message="it does not tell what runs and waits: slots held for nobody and starving requests cannot be seen",
    ),
    Ability.CACHE_BYPASS: Limit(
        reason=LimitReason.CACHE_UNCHECKED,
        message="no request can go around its cache: a corrupt cache looks like corrupt weights",
    ),
    Ability.FLUSH: Limit(
        reason=LimitReason.NO_FLUSH, message="its cache cannot be flushed: a corrupt one takes a restart"
    ),
    Ability.SLEEP: Limit(
        reason=LimitReason.SLEEP_UNSEEN, message="a sleep or pause cannot be read: it would look like silence"
    ),
    Ability.ABORT: Limit(
        reason=LimitReason.NO_ABORT, message="nothing aborts a request: a canary that timed out may go on in it"
    ),
}

LIMIT_UNTOLD: Final = (
    "leaked slots cannot be seen: a fastchat worker does not tell its limit, "
    "set engine.concurrency to its --limit-worker-concurrency"
)
MODEL_UNNAMED: Final = (
    "leaked slots cannot be seen: the call that waits for a slot of a dbgpt worker has to name the model, "
    "set engine.model"
)
CROSS_TALK_UNCHECKED: Final = (
    "cross-talk is looked for only before a replica serves: beside users the check could take words out of their "
    "streams, checks.crossTalk Enabled makes it nevertheless"
)
CROSS_TALK_CHECK_DISTURBS: Final = (
    "checks.crossTalk Enabled: where streams are mixed up, the check takes words out of users' streams"
)
NUMBER_WANTED: Final = (
    "checks.slots Enabled: it is made only where the engine tells how many slots it has, set engine.concurrency"
)
KNOWN_ANSWERS_WANTED: Final = "its cache is checked with known answers only: set detectors.degradedOutput.knownAnswers"

NEEDED: Final = {EngineType.FASTCHAT: ("concurrency", LIMIT_UNTOLD), EngineType.DBGPT: ("model", MODEL_UNNAMED)}
"""The field of `engine` without which an engine that has leaked its slots cannot be told from a busy one."""

_OF_CHECKS: Final = frozenset({Ability.CACHE_BYPASS, Ability.FLUSH})
"""Mean nothing where no check is made."""
_OF_CANARIES: Final = _OF_CHECKS | {Ability.ABORT}
"""Mean nothing where there is no canary."""


def limits(engine: EngineTarget, watchdog: WatchdogPolicy) -> tuple[Limit, ...]:
    """The gravest first."""
    found = [*_of_the_engine(engine), *_of_the_spec(engine)]
    if engine.task is EngineTask.GENERATE and not engine.metered:
        found += _of_checks(engine, watchdog)
    return tuple(sorted(found, key=lambda limit: list(LimitReason).index(limit.reason)))


def _of_the_engine(engine: EngineTarget) -> Iterator[Limit]:
    """Whatever is asked for."""
    moot = _OF_CHECKS if engine.metered else frozenset()
    if engine.task is not EngineTask.GENERATE:
        moot = _OF_CANARIES
    return (_SENTENCES[lack] for lack in LACKS[engine.type] - moot)


def _of_the_spec(engine: EngineTarget) -> Iterator[Limit]:
    field, sentence = NEEDED.get(engine.type, ("type", ""))
    if getattr(engine, field) is None:
        yield _limit(LimitReason.LEAKS_UNSEEN, sentence)
    if engine.task is not EngineTask.GENERATE:
        yield _limit(LimitReason.NO_CANARY, no_canary(engine.task))
    elif engine.metered:
        yield _limit(LimitReason.CANARY_ON_SUSPICION, on_suspicion(engine))


def _of_checks(engine: EngineTarget, watchdog: WatchdogPolicy) -> Iterator[Limit]:
    if engine.type in CROSS_TALK_CHECK_ROBS and watchdog.checks.cross_talk is Switch.AUTO:
        yield _limit(LimitReason.CROSS_TALK_UNCHECKED, CROSS_TALK_UNCHECKED)
    if engine.type in CROSS_TALK_CHECK_ROBS and watchdog.checks.cross_talk is Switch.ON:
        yield _limit(LimitReason.CROSS_TALK_CHECK_DISTURBS, CROSS_TALK_CHECK_DISTURBS)
    if watchdog.checks.slots is Switch.ON and engine.concurrency is None:
        yield _limit(LimitReason.SLOTS_UNCHECKED, NUMBER_WANTED)
    if engine.type in BYPASS_BY_PREFIX and not watchdog.detectors.degraded_output.known_answers:
        yield _limit(LimitReason.CACHE_UNCHECKED, KNOWN_ANSWERS_WANTED)


def no_canary(task: EngineTask) -> str:
    """The sentence for a task other than `Generate`."""
    return (
        f"engine.task {task.value} allows no canary: silence cannot be told from idleness, "
        "and what is generated is not looked at"
    )


def on_suspicion(engine: EngineTarget) -> str:
    """The sentence for a metered engine."""
    why = (
        f"a {engine.type.value} may stand in front of a metered API (engine.probeCost Free says that it does not)"
        if engine.probe_cost is None
        else f"engine.probeCost {engine.probe_cost.value}"
    )
    return (
        f"{why}: a canary is sent on suspicion only and no check is made, so wrong output, mixed-up streams and "
        "silence while nobody asks are not seen"
    )


def _limit(reason: LimitReason, message: str) -> Limit:
    return Limit(reason=reason, message=message)
