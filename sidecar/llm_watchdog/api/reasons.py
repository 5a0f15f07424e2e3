"""Closed vocabularies. Every decision carries one of these and a sentence with numbers, never one without the other."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Mode(StrEnum):
    """What the watchdog may do about a finding."""

    ENFORCE = "Enforce"
    OBSERVE = "Observe"
    OFF = "Off"
    """The finding is told in `/status` and on `/metrics`, and nothing follows from it: no incident, no action."""


class FaultClass(StrEnum):
    """What is wrong with a replica. One open incident per replica and class."""

    ENGINE_DEAD = "EngineDead"
    """It answers with errors, or its process does not come up."""
    WAKE_FAILED = "WakeFailed"
    """After a wake state and behaviour disagree, or a pause never ends."""
    STALLED_STREAM = "StalledStream"
    """No first token, a gap between tokens, or requests that are never admitted."""
    CROSS_TALK = "CrossTalk"
    """One stream carries another's content."""
    LEAKED_CONCURRENCY = "LeakedConcurrency"
    """Slots are held although nobody is connected and nothing is generated."""
    DEGRADED_OUTPUT = "DegradedOutput"
    """What is generated is not what this model generates."""
    RUNAWAY_GENERATION = "RunawayGeneration"
    """No stop before the limit, tokens for nobody, or one request that never ends while others starve."""
    INCOMPLETE_STREAM = "IncompleteStream"
    """Streams begin and do not end as the engine's protocol says."""


class FindingReason(StrEnum):
    """Why a detector speaks up. Each belongs to one fault class, see `REASONS`."""

    NO_FIRST_TOKEN = "NoFirstToken"
    """The engine was asked and sent no generated token within the deadline."""
    TOKEN_GAP = "TokenGap"
    """A canary stream began and then stopped moving."""
    NO_PROGRESS = "NoProgress"
    """Clients are connected, no byte moves on any connection and no counter of the engine moves."""
    ADMISSION_STALLED = "AdmissionStalled"
    """Requests wait although nothing runs and the cache is free."""
    FIRST_TOKEN_SLOWING = "FirstTokenSlowing"
    """The time to first token grows without end while the load does not."""
    USER_STREAM_STALLED = "UserStreamStalled"
    """A user's request gets no byte although the engine generates for others."""
    HEALTH_FAILING = "HealthFailing"
    """The engine's own health endpoint answers 5xx in a running container."""
    COMPLETIONS_FAILING = "CompletionsFailing"
    """Generation requests are answered with 5xx at once."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The same, and the error body says that memory ran out."""
    START_TIMED_OUT = "StartTimedOut"
    """It was started, by whomever, and did not come up within the start-up limit."""
    UPSTREAM_FAILED = "UpstreamFailed"
    """A gateway relays an error of the server behind it: a restart of the gateway cures nothing."""
    WAKE_ERROR = "WakeError"
    """The wake was answered with an error."""
    AWAKE_BUT_SILENT = "AwakeButSilent"
    """It says that it is awake, and generates no token."""
    PAUSED_TOO_LONG = "PausedTooLong"
    """Somebody paused it, and nobody resumed it within the limit."""
    FOREIGN_CONTENT = "ForeignContent"
    """A stream carries a nonce, or the known answer, of another one."""
    OWN_WORDS_MISSING = "OwnWordsMissing"
    """Right alone, and robbed of its own words beside another stream."""
    STALE_CONTENT = "StaleContent"
    """A stream carries words of one that was abandoned before."""
    QUEUE_AT_LIMIT = "QueueAtLimit"
    """The queue length stands at or above the limit and no request is completed."""
    SLOT_PROBE_HANGS = "SlotProbeHangs"
    """A call that needs a slot and no token hangs while the web server answers."""
    SLOTS_WITHOUT_PROGRESS = "SlotsWithoutProgress"
    """Slots are busy and none of them moves."""
    RUNNING_WITHOUT_CLIENTS = "RunningWithoutClients"
    """Requests count as running although nobody is connected and nothing is generated."""
    CACHE_HELD_WHILE_IDLE = "CacheHeldWhileIdle"
    """Cache blocks are in use although nothing runs and nothing waits."""
    SLOTS_NOT_RETURNED = "SlotsNotReturned"
    """Streams were opened and dropped, and their slots did not come back."""
    REPETITION = "Repetition"
    """Far more repetitive than this model's own baseline."""
    BROKEN_NUMBERS = "BrokenNumbers"
    """Log probabilities are null or not numbers."""
    DRIFTED = "Drifted"
    """Greedy tokens or their probabilities have left the fingerprint."""
    DISSENTS = "Dissents"
    """Greedy answers are unlike those of most other replicas of the same revision on the same type of accelerator."""
    WRONG_ANSWER = "WrongAnswer"
    """A question with a known answer, or one it could answer at baseline, is answered wrong."""
    CACHE_CORRUPT = "CacheCorrupt"
    """Right on a cache miss and wrong on a hit: the cache is to blame."""
    BASELINE_CHANGED = "BaselineChanged"
    """The same other output after a restart too: the model was changed, or this replica is another; reported, never
    acted on."""
    BEYOND_LIMIT = "BeyondLimit"
    """A canary went on beyond the tokens that were asked for."""
    NO_STOP = "NoStop"
    """A prompt that stopped by itself at baseline no longer does."""
    TOKENS_FOR_NOBODY = "TokensForNobody"
    """Tokens flow although nobody is connected."""
    STARVATION = "Starvation"
    """Tokens flow, requests wait for minutes, and none is finished."""
    NO_FINISH_REASON = "NoFinishReason"
    """The stream ended without saying why."""
    NO_TERMINATOR = "NoTerminator"
    """The stream said that it is finished and never ended."""
    BODY_CUT = "BodyCut"
    """The connection was cut inside the body."""
    EMPTY_ANSWER = "EmptyAnswer"
    """A 200 without a body, with `null`, or with empty choices."""
    ERROR_IN_STREAM = "ErrorInStream"
    """An error object inside a 200."""
    USAGE_MISMATCH = "UsageMismatch"
    """The usage that it states is not what came."""
    ANSWER_CUT = "AnswerCut"
    """Ends as if complete, after fewer tokens than asked for and than it gave at baseline."""


_F, _R = FaultClass, FindingReason

REASONS: Final[dict[FaultClass, frozenset[FindingReason]]] = {
    _F.ENGINE_DEAD: frozenset(
        {_R.HEALTH_FAILING, _R.COMPLETIONS_FAILING, _R.OUT_OF_MEMORY, _R.START_TIMED_OUT, _R.UPSTREAM_FAILED}
    ),
    _F.WAKE_FAILED: frozenset({_R.WAKE_ERROR, _R.AWAKE_BUT_SILENT, _R.PAUSED_TOO_LONG}),
    _F.STALLED_STREAM: frozenset(
        {
            _R.NO_FIRST_TOKEN,
            _R.TOKEN_GAP,
            _R.NO_PROGRESS,
            _R.ADMISSION_STALLED,
            _R.FIRST_TOKEN_SLOWING,
            _R.USER_STREAM_STALLED,
        }
    ),
    _F.CROSS_TALK: frozenset({_R.FOREIGN_CONTENT, _R.OWN_WORDS_MISSING, _R.STALE_CONTENT}),
    _F.LEAKED_CONCURRENCY: frozenset(
        {
            _R.QUEUE_AT_LIMIT,
            _R.SLOT_PROBE_HANGS,
            _R.SLOTS_WITHOUT_PROGRESS,
            _R.RUNNING_WITHOUT_CLIENTS,
            _R.CACHE_HELD_WHILE_IDLE,
            _R.SLOTS_NOT_RETURNED,
        }
    ),
    _F.DEGRADED_OUTPUT: frozenset(
        {
            _R.REPETITION,
            _R.BROKEN_NUMBERS,
            _R.DRIFTED,
            _R.DISSENTS,
            _R.WRONG_ANSWER,
            _R.CACHE_CORRUPT,
            _R.BASELINE_CHANGED,
        }
    ),
    _F.RUNAWAY_GENERATION: frozenset({_R.BEYOND_LIMIT, _R.NO_STOP, _R.TOKENS_FOR_NOBODY, _R.STARVATION}),
    _F.INCOMPLETE_STREAM: frozenset(
        {
            _R.NO_FINISH_REASON,
            _R.NO_TERMINATOR,
            _R.BODY_CUT,
            _R.EMPTY_ANSWER,
            _R.ERROR_IN_STREAM,
            _R.USAGE_MISMATCH,
            _R.ANSWER_CUT,
        }
    ),
}
"""Which reasons a detector may give; a test keeps the detectors to it."""


class VerdictState(StrEnum):
    """Four answers, not two: no data is `Unknown`, and `Unknown` never acts."""

    HEALTHY = "Healthy"
    SUSPECT = "Suspect"
    FAULTY = "Faulty"
    UNKNOWN = "Unknown"


class UnknownReason(StrEnum):
    """Why nothing can be said."""

    STARTING = "Starting"
    """The engine has not answered once since this process, or the engine, started."""
    PROBE_FAILED = "ProbeFailed"
    """The watchdog could not send its probe; says nothing about the engine."""
    CANARY_REJECTED = "CanaryRejected"
    """The engine answers the canary with a 4xx: the canary is wrong, or the key is."""
    ASLEEP = "Asleep"
    """Sleeping or paused; a generation request would hang by design."""
    NO_CANARY = "NoCanary"
    """No canary may be sent (`task: None`, several models and none named), so silence cannot be told from idleness."""
    UNLOADED = "Unloaded"
    """The engine has unloaded its model for idleness; a canary would wake it."""
    TOKENS_SPENT = "TokensSpent"
    """A metered engine: today's tokens for canaries are used up."""


class RotationReason(StrEnum):
    """Reason of the pod condition `llmworker.dev/InRotation`."""

    SERVING = "Serving"
    STARTING = "Starting"
    ASLEEP = "Asleep"
    WAKE_GATE = "WakeGate"
    DRAINING = "Draining"
    FAULTY = "Faulty"
    QUARANTINED = "Quarantined"


class Rung(StrEnum):
    """One step of a ladder, mildest first."""

    ABORT_REQUEST = "AbortRequest"
    """The watchdog's own requests alone, by their full ids."""
    FLUSH_CACHE = "FlushCache"
    """Out of rotation, wait until nobody is served, empty the prefix cache, make all checks anew."""
    DRAIN = "Drain"
    RESTART = "Restart"
    REPLACE_POD = "ReplacePod"
    """The operator evicts the pod, and another one takes its place, perhaps on another node."""
    QUARANTINE = "Quarantine"


class GrantableStep(StrEnum):
    """What needs the operator's permission."""

    LEAVE_ROTATION = "LeaveRotation"
    RESTART = "Restart"
    REPLACE_POD = "ReplacePod"


class Phase(StrEnum):
    """Where an incident stands. Absent in the API object means `Open`."""

    OPEN = "Open"
    AWAITING_GRANT = "AwaitingGrant"
    ACTING = "Acting"
    VERIFYING = "Verifying"
    CLOSED = "Closed"


class Outcome(StrEnum):
    """How an incident ended."""

    RECOVERED = "Recovered"
    SELF_HEALED = "SelfHealed"
    QUARANTINED = "Quarantined"
    OBSERVED = "Observed"
    """Under mode `Observe`, or `Off` meanwhile; or a restart has shown that it is no state that it got into."""
    LOST = "Lost"


class StepOutcome(StrEnum):
    """How a rung ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    UNAVAILABLE = "Unavailable"
    DRY_RUN = "DryRun"


class RestartMethod(StrEnum):
    """How `Restart` is done in a pod, chosen by the operator (`design.md` section 6)."""

    ALL_CONTAINERS = "AllContainers"
    LIVENESS_PROBE = "LivenessProbe"
    COMMAND = "Command"
    """Standalone only: a command that the user named."""
    UNAVAILABLE = "Unavailable"
