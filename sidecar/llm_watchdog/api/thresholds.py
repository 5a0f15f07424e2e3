"""`spec.watchdog.detectors` and `spec.watchdog.checks`: when a detector speaks up, and what is asked for it.

A `deadline` moves a replica out of rotation, a `restart_deadline` allows a kill.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from llm_watchdog.api.reasons import Mode
from llm_watchdog.api.seconds import Seconds

if TYPE_CHECKING:
    from llm_watchdog.api.reasons import FaultClass


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledStreamPolicy:
    """No first token, a gap between tokens, or requests that are never admitted."""

    mode: Mode | None = None
    learn: bool = True
    """Deadlines grow with what this model was measured to need; what stands here are their floors."""
    first_token_deadline: Seconds = Seconds(5)
    """No token on a canary of a seen shape, alone in the engine."""
    restart_deadline: Seconds = Seconds(20)
    """The same, sustained over at least two canaries."""
    busy_deadline: Seconds = Seconds(10)
    """With users connected, no byte and no counter moving: a kernel compile looks alike, so slower."""
    busy_restart_deadline: Seconds = Seconds(100)
    """Kernel compiles of up to 70 s are healthy (dynamo#14735)."""
    token_gap_deadline: Seconds = Seconds(5)
    """Between two tokens of a canary."""
    user_stream_deadline: Seconds = Seconds(120)
    """A user's request without a byte while others are served: an alert, and evidence beside a silent canary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDeadPolicy:
    """The server answers, and what it answers is 5xx."""

    mode: Mode | None = None
    deadline: Seconds = Seconds(2)
    restart_deadline: Seconds = Seconds(10)
    """vLLM ends by itself within 5 s of its engine's death unless told to stay; leave it that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeFailedPolicy:
    """After a wake, and in a pause that nobody ends."""

    mode: Mode | None = None
    deadline: Seconds = Seconds(10)
    """Awake by its own word, and no token for a canary."""
    restart_deadline: Seconds = Seconds(30)
    pause_deadline: Seconds = Seconds(600)
    """A pause or sleep by somebody else becomes an incident after this long; 0s: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTalkPolicy:
    """One stream carries another's content: out of rotation and quarantine."""

    mode: Mode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakedConcurrencyPolicy:
    """Slots held for nobody. Busy and leaked look alike at one instant: only time without progress tells."""

    mode: Mode | None = None
    deadline: Seconds = Seconds(20)
    restart_deadline: Seconds = Seconds(60)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswer:
    """`answer` must be contained in what the model says to `prompt`, whatever the letters' case."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedOutputPolicy:
    """Output that has left this model's own baseline, in two rounds of checks."""

    mode: Mode | None = None
    known_answers: list[KnownAnswer] = field(default_factory=list)
    """Questions that the model must answer; checked with each fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunawayGenerationPolicy:
    """Generation without end."""

    mode: Mode | None = None
    deadline: Seconds = Seconds(120)
    """Starvation, and tokens for nobody, for this long: reported."""
    restart_deadline: Seconds = Seconds(600)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteStreamPolicy:
    """Canaries that begin and do not end as they should."""

    mode: Mode | None = None
    failures: int = 2
    """Of the newest canaries, in a row, until it leaves rotation."""
    restart_failures: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorsPolicy:
    """One entry per fault class, of its name."""

    engine_dead: EngineDeadPolicy = field(default_factory=EngineDeadPolicy)
    wake_failed: WakeFailedPolicy = field(default_factory=WakeFailedPolicy)
    stalled_stream: StalledStreamPolicy = field(default_factory=StalledStreamPolicy)
    cross_talk: CrossTalkPolicy = field(default_factory=CrossTalkPolicy)
    leaked_concurrency: LeakedConcurrencyPolicy = field(default_factory=LeakedConcurrencyPolicy)
    degraded_output: DegradedOutputPolicy = field(default_factory=DegradedOutputPolicy)
    runaway_generation: RunawayGenerationPolicy = field(default_factory=RunawayGenerationPolicy)
    incomplete_stream: IncompleteStreamPolicy = field(default_factory=IncompleteStreamPolicy)

    def mode_of(self, fault: FaultClass) -> Mode | None:
        """The override of a fault class."""
        mode: Mode | None = getattr(self, fault.name.lower()).mode
        return mode


class Switch(StrEnum):
    """Of a check that is unsafe beside some engines: `Auto` leaves it to the dialect.

    Not `On` and `Off`: unquoted, YAML 1.1 reads them as booleans, and so does kubectl.
    """

    AUTO = "Auto"
    ON = "Enabled"
    OFF = "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksPolicy:
    """Active checks: before a replica first enters rotation, after each wake, flush and restart, and while alone."""

    interval: Seconds = Seconds(60)
    """Between two rounds while nobody else is served; 0s: only at start, wake, flush and restart."""
    alone_for: Seconds = Seconds(5)
    """Nobody but us is being served, and nobody was for this long."""
    fingerprint: Switch = Switch.AUTO
    """Greedy answers to a few prompts, compared with those of when the replica was first proven good."""
    cache: Switch = Switch.AUTO
    """The same prompt on a cache miss and on a hit."""
    cross_talk: Switch = Switch.AUTO
    """Two streams at once with nonces, and one after an abandoned one."""
    slots: Switch = Switch.AUTO
    """Streams that are dropped must give their slots back; out of rotation only."""
    tokens_per_day: int = 10000
    """Of a metered engine; spent: `Unknown`."""
