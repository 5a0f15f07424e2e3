"""The policy document: the engine to watch, and `spec.watchdog` of an LLMWorker with every default filled in.

These dataclasses are the one definition: the CRD's schema is tied to them by a drift test, the operator validates
through them at its border, the watchdog reads them from the ConfigMap. Field names are camelCase in documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from llm_watchdog.api.amount import Amount
from llm_watchdog.api.reasons import FaultClass, Mode, RestartMethod, Rung
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.api.thresholds import ChecksPolicy, DetectorsPolicy


class EngineType(StrEnum):
    """Names a dialect."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    TGI = "tgi"
    OLLAMA = "ollama"
    FASTCHAT = "fastchat"
    DBGPT = "dbgpt"
    LAZYLLM = "lazyllm"
    CHATCHAT = "chatchat"
    OPENAI = "openai"


class EngineTask(StrEnum):
    """What a canary may ask for."""

    GENERATE = "Generate"
    EMBED = "Embed"
    NONE = "None"


class ProbeCost(StrEnum):
    """`Metered`: somebody is billed for each token, so a canary is sent on suspicion only."""

    FREE = "Free"
    METERED = "Metered"


METERED_BY_DEFAULT: Final = frozenset({EngineType.DBGPT, EngineType.LAZYLLM, EngineType.CHATCHAT})
"""These stand in front of somebody's API as often as of a model of their own, and do not tell which."""


class RestartMethodChoice(StrEnum):
    """`spec.watchdog.remediation.restartMethod`."""

    AUTO = "Auto"
    ALL_CONTAINERS = RestartMethod.ALL_CONTAINERS.value
    LIVENESS_PROBE = RestartMethod.LIVENESS_PROBE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTarget:
    """The engine as the watchdog needs to know it. A port, never a host: it talks to its own pod only."""

    type: EngineType
    task: EngineTask = EngineTask.GENERATE
    probe_cost: ProbeCost | None = None
    """Unset: `Metered` for the types in `METERED_BY_DEFAULT`, else `Free`."""
    port: int = 8000
    model: str | None = None
    concurrency: int | None = None
    path: str | None = None
    """The route that generates, where the dialect has no standard one (`lazyllm`)."""
    text_field: str | None = None
    """The field of that route's JSON request that takes the prompt."""

    @property
    def metered(self) -> bool:
        """Passive first: a canary is sent on suspicion only, within `checks.tokensPerDay`."""
        if self.probe_cost is None:
            return self.type in METERED_BY_DEFAULT
        return self.probe_cost is ProbeCost.METERED


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryPolicy:
    """The watchdog's own generation request (invariant 8: at most one outstanding, capped tokens)."""

    interval: Seconds = Seconds(2)
    """Between canaries while nobody else is being served. With the 5 s first-token deadline it keeps the worst case
    of hang to out-of-rotation under 8 s."""
    busy_interval: Seconds = Seconds(30)
    """Between canaries while users' bytes move: keeps the cost under 0.1 % of the engine's tokens."""
    timeout: Seconds = Seconds(10)
    """A canary without an end is cancelled on the server after this long, and the next one is sent."""
    max_tokens: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """How much of a worker may be in granted steps, enforced by the operator."""

    max_unavailable: Amount = Amount("1")
    """Of `spec.replicas`. A percentage is rounded down, to 1 at least, and never takes all of several replicas."""
    max_per_hour: int = 4
    max_per_replica: int = 3
    """Restarts of one replica within an hour, over all its incidents: what three did not cure, a fourth does not."""
    cooldown: Seconds = Seconds(60)
    """Between two grants for the same replica."""


ATTEMPTS_MAX: Final = 5
"""Of one rung in one incident: what five restarts did not cure, a sixth will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsPolicy:
    """How often a rung is climbed before the next one, each time after a verification that saw the fault again."""

    flush_cache: int = 1
    restart: int = 1

    def of(self, rung: Rung) -> int:
        """Of that rung; all others are climbed once."""
        return {Rung.FLUSH_CACHE: self.flush_cache, Rung.RESTART: self.restart}.get(rung, 1)


class QuarantineChoice(StrEnum):
    """`spec.watchdog.remediation.quarantine`."""

    HOLD = "Hold"
    """Out of rotation until a person releases it."""
    DETACH = "Detach"
    """Taken out of its ReplicaSet too, so that another pod takes its place, as far as `maxDetached` goes."""


class BrakeState(StrEnum):
    """`spec.watchdog.remediation.brake.state`."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class RollbackChoice(StrEnum):
    """`spec.watchdog.remediation.brake.rollback`."""

    NEVER = "Never"
    AUTOMATIC = "Automatic"
    """Once for each rollout that the brake holds steps for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakePolicy:
    """When several replicas fail alike, one is restarted as a trial (invariant 5); enforced by the operator."""

    state: BrakeState = BrakeState.ENABLED
    share: Amount = Amount("50%")
    """Of the worker's replicas, rounded up: this many with one fault at once have a common cause."""
    min_replicas: int = 2
    window: Seconds = Seconds(300)
    """Between the detections of faults that belong together."""
    after_rollout: Seconds = Seconds(600)
    """From the end of a rollout; 0: a rollout is never the suspect."""
    rollback: RollbackChoice = RollbackChoice.NEVER
    """What becomes of a rollout that is the suspect after a trial that proved nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaddersPolicy:
    """Replaces the default ladder of a fault class, mildest rung first. One entry per fault class, of its name."""

    engine_dead: list[Rung] | None = None
    wake_failed: list[Rung] | None = None
    stalled_stream: list[Rung] | None = None
    cross_talk: list[Rung] | None = None
    leaked_concurrency: list[Rung] | None = None
    degraded_output: list[Rung] | None = None
    runaway_generation: list[Rung] | None = None
    incomplete_stream: list[Rung] | None = None

    def of(self, fault: FaultClass) -> list[Rung] | None:
        """The user's ladder, if there is one."""
        rungs: list[Rung] | None = getattr(self, fault.name.lower())
        return rungs


@dataclass(frozen=True, slots=True, kw_only=True)
class RemediationPolicy:
    """How a fault is dealt with."""

    budget: BudgetPolicy = field(default_factory=BudgetPolicy)
    brake: BrakePolicy = field(default_factory=BrakePolicy)
    restart_method: RestartMethodChoice = RestartMethodChoice.AUTO
    drain_timeout: Seconds = Seconds(30)
    """How long requests in flight may go on before a restart, as long as their bytes move."""
    abort_timeout: Seconds = Seconds(30)
    """For the engine's answer to an abort, and then for its proof: the canaries of a few intervals."""
    flush_timeout: Seconds = Seconds(180)
    """For the engine's answer to a flush, and then for its proof: all checks are made anew after it, a round takes
    seconds, and one that is disturbed is repeated."""
    startup_timeout: Seconds = Seconds(1800)
    """After a restart, and of a pod that takes another one's place: a model load of 10 minutes is normal, one that
    takes longer than this is not cured."""
    attempts: AttemptsPolicy = field(default_factory=AttemptsPolicy)
    ladders: LaddersPolicy = field(default_factory=LaddersPolicy)
    quarantine: QuarantineChoice = QuarantineChoice.HOLD
    max_detached: int = 1
    """Pods of one worker that are kept beside its replicas: each holds its accelerator."""


PAUSE_REASON_MAX: Final = 253
"""It stands in the message of every open incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedPolicy:
    """Nothing is begun, what has begun is proven and closed. Silent replicas still leave rotation and come back."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogPolicy:
    """`spec.watchdog`. `LLMWorker` manifests may leave out everything in it."""

    mode: Mode = Mode.ENFORCE
    paused: PausedPolicy | None = None
    canary: CanaryPolicy = field(default_factory=CanaryPolicy)
    checks: ChecksPolicy = field(default_factory=ChecksPolicy)
    detectors: DetectorsPolicy = field(default_factory=DetectorsPolicy)
    remediation: RemediationPolicy = field(default_factory=RemediationPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The document in the ConfigMap."""

    engine: EngineTarget
    watchdog: WatchdogPolicy = field(default_factory=WatchdogPolicy)
    cluster_paused: PausedPolicy | None = None
    """The switch of the whole cluster, which a mounted file passes on without an API server."""
