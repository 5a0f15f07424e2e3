"""How a fault of the catalogue is put on stage: what happens before and after it, and what becomes of it. Pure.

The catalogue says in words what a fault needs beside it (`needs`); this is the same as steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from e2e.fault_engine.faults import FAULTS
from e2e.fault_engine.traffic_load import NO_TRAFFIC, TrafficLoad

if TYPE_CHECKING:
    from e2e.fault_engine.faults.entry import FaultEntry


@dataclass(frozen=True, slots=True)
class Put:
    """The fault is ordered now."""


@dataclass(frozen=True, slots=True)
class Users:
    """From now on there are these; those that were there leave in the middle of their answers."""

    load: TrafficLoad = NO_TRAFFIC


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


class Power(StrEnum):
    """By the dialect's own calls."""

    SLEEP = "Sleep"
    WAKE = "Wake"


Step = Put | Users | Wait | Power


class End(StrEnum):
    """What becomes of an incident."""

    RESTARTED = "Recovered"
    QUARANTINED = "Quarantined"
    HEALED = "SelfHealed"
    """Nobody acts on it; it is lifted, and closes by itself."""
    FLUSHED = "Flushed"
    """None comes of it: the precautionary flush after a wake cures it before the engine serves."""
    LATE = "Late"
    """Acted on after minutes, or never: only that it is found is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Of one fault."""

    steps: tuple[Step, ...] = (Put(),)
    argument: str | None = None
    end: End = End.RESTARTED
    options: tuple[str, ...] = ()
    """Of the fault engine."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    warm_seconds: float = 8.0
    """In rotation and idle, before anything happens: some canaries after the start-up checks."""
    from_start: bool = False
    """The engine is like this from its first moment."""
    serves: bool = True
    """It is in rotation at the end, where it is no fault."""


def _leaving(load: TrafficLoad, seconds: float = 4) -> tuple[Step, ...]:
    return (Put(), Users(load), Wait(seconds), Users())


def _beside(load: TrafficLoad) -> tuple[Step, ...]:
    return (Users(load), Wait(3), Put())


_A_FEW: Final = TrafficLoad(streams=4, max_tokens=64)
_LONG_PROMPTS: Final = TrafficLoad(streams=4, max_tokens=64, prompt_words=1200)
_SLEEP: Final[tuple[Step, ...]] = (Put(), Power.SLEEP, Wait(8), Power.WAKE)
_SHORT: Final = TrafficLoad(streams=8, max_tokens=8, pause_seconds=0.2)
_SOON_GIVEN_UP: Final[Mapping[str, Any]] = {"remediation": {"startupTimeout": "30s"}}
"""A process that is gone may be starting anew, for half an hour by default."""

_SCENES: Final[Mapping[str, Scene]] = {
    # Idle canaries come every 2 s: what needs longer without a request does not happen beside a watchdog.
    "die": Scene(policy=_SOON_GIVEN_UP),
    "die-after-idle": Scene(argument="1", policy=_SOON_GIVEN_UP),
    "hang-after-idle": Scene(argument="1"),
    "sleep-race": Scene(argument="1", end=End.LATE),
    "hang-after-requests": Scene(argument="5"),
    "answer-cut": Scene(warm_seconds=20),  # how long an answer usually is takes eight canaries to know
    "beyond-limit": Scene(warm_seconds=12),  # LazyLLM takes no limit: what has no end is known after three
    "stall-after": Scene(argument="2"),
    "lost-requests": Scene(argument="8", end=End.LATE),
    "first-token-slows": Scene(end=End.LATE),
    "drift-after-requests": Scene(argument="5"),
    "repeat-after-long-prompt": Scene(steps=_leaving(TrafficLoad(streams=1, prompt_words=1200, max_tokens=8))),
    "cross-talk": Scene(end=End.QUARANTINED),
    "shared-queue": Scene(end=End.QUARANTINED),
    # Streams are dropped on purpose out of rotation only: before the first entry, and after a wake or restart.
    "stale-bleed": Scene(end=End.QUARANTINED, from_start=True),
    "leak-on-abort": Scene(steps=_leaving(TrafficLoad(streams=32, max_tokens=2000))),
    "leak-on-error": Scene(steps=(Put(), Users(TrafficLoad(streams=8, max_tokens=16)))),
    "leak-on-finish": Scene(steps=_leaving(_SHORT)),
    "blocked-thread": Scene(steps=_leaving(TrafficLoad(streams=16, max_tokens=64), seconds=8)),
    "running-stuck": Scene(end=End.LATE),
    "cache-held": Scene(end=End.LATE),
    "tokens-for-nobody": Scene(steps=_leaving(TrafficLoad(streams=2, max_tokens=4000)), end=End.LATE),
    "runs-on": Scene(end=End.LATE),  # aborted by its id in vllm and sglang; the others restart after ten minutes
    "starvation": Scene(steps=(Put(), Users(_A_FEW)), end=End.LATE),
    "runaway-then-dies": Scene(argument="20", policy=_SOON_GIVEN_UP),
    "upstream-failed": Scene(end=End.HEALED),
    "gateway-saturated": Scene(end=End.HEALED),
    "repeat-after-wake": Scene(steps=_SLEEP),
    "gibberish-after-wake": Scene(steps=_SLEEP),
    "drift-after-wake": Scene(steps=_SLEEP),
    "stale-cache-after-wake": Scene(steps=_SLEEP, end=End.FLUSHED),
    "wake-error": Scene(steps=_SLEEP),
    "wake-silent": Scene(steps=_SLEEP),
    "burst": Scene(steps=(Users(TrafficLoad(burst=1280)),)),
    "busy": Scene(steps=(Users(TrafficLoad(streams=24)),)),
    "one-long-answer": Scene(steps=(Users(TrafficLoad(streams=1, max_tokens=4000)),)),
    # The request that is compiled for is a user's: a canary of a known shape has no such excuse.
    "jit-stall": Scene(steps=(*_beside(_A_FEW), Users(_LONG_PROMPTS))),
    "long-prefill": Scene(steps=_beside(_LONG_PROMPTS)),
    "health-fails-when-busy": Scene(steps=_beside(_LONG_PROMPTS)),
    "slow": Scene(argument="0.5"),
    "slow-start": Scene(argument="60", from_start=True),
    "repeats-by-nature": Scene(options=("--model-kind=tiny-random",), from_start=True),
    "cannot-echo": Scene(options=("--model-kind=base",), from_start=True),
    "reasons-first": Scene(options=("--model-kind=reasoning",), from_start=True),
    "noisy-numbers": Scene(options=("--logprob-noise=0.05",), from_start=True),
    "paused-by-somebody": Scene(serves=False),
    "asleep-by-somebody": Scene(serves=False),
}


_ENDS: Final[Mapping[tuple[str, str], End]] = {
    # In a gateway the words of the error are those of its client library: the server behind it broke off.
    **{("error-inside", gateway): End.HEALED for gateway in ("dbgpt", "chatchat", "lazyllm")},
    # All that Chatchat answers comes from a server behind it, so it is told and never restarted; a dead one stays dead.
    ("completions-fail", "chatchat"): End.HEALED,
    ("out-of-memory", "chatchat"): End.HEALED,
    ("die-keepalive", "chatchat"): End.LATE,
    # It tells no limit, so a full leak looks like a partial one, which is restarted after ten minutes.
    **{(leak, "tgi"): End.LATE for leak in ("leak-on-abort", "blocked-thread")},
    # Our own are aborted by their ids, and then a slot is free: what is left is a partial leak.
    **{(leak, "sglang"): End.LATE for leak in ("leak-on-abort", "leak-on-finish", "blocked-thread")},
}
"""Where a dialect makes another one of it."""


def scene_of(fault: str) -> Scene:
    """What the fault needs; most need nothing."""
    return _SCENES.get(fault, Scene())


def named_scenes() -> frozenset[str]:
    """The faults that need more than an order."""
    return frozenset(_SCENES)


@dataclass(frozen=True, slots=True)
class Case:
    """One fault in one dialect."""

    fault: str
    dialect: str

    @property
    def entry(self) -> FaultEntry:
        return FAULTS[self.fault]

    @property
    def right(self) -> frozenset[str]:
        """The fault classes that it may be called; empty where it is none."""
        return frozenset({*([self.entry.expected] if self.entry.expected else ()), *self.entry.also})

    @property
    def scene(self) -> Scene:
        scene = scene_of(self.fault)
        # There the check could take words out of users' streams, so it is made out of rotation only.
        if self.dialect == "lazyllm" and self.entry.expected == "CrossTalk":
            return replace(scene, from_start=True)
        return replace(scene, end=_ENDS.get((self.fault, self.dialect), scene.end))


def cases() -> list[Case]:
    """All that can be seen, and all that must not be."""
    visible = [entry for entry in FAULTS.values() if entry.seen_by != "nothing" or entry.expected is None]
    return [Case(entry.name, dialect) for entry in visible for dialect in entry.dialects if dialect not in entry.unseen]
