"""Everything that remediation and rotation may look at in one pass, gathered beforehand by the shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from llm_watchdog.api.incident import Grant, PodRef
from llm_watchdog.api.policy import EngineTask, WatchdogPolicy
from llm_watchdog.api.reasons import FaultClass, GrantableStep, Mode, Phase, RestartMethod, VerdictState
from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.case import EngineMark
from llm_watchdog.core.container import EngineContainer
from llm_watchdog.core.findings import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this replica is."""

    worker: str
    namespace: str
    pod: PodRef


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """The incident as the API server holds it, read back."""

    resource_version: str
    phase: Phase = Phase.OPEN
    requested_step: GrantableStep | None = None
    grant: Grant | None = None

    def fresh_grant(self, step: GrantableStep, used: Grant | None) -> Grant | None:
        """What was asked for; a grant that was claimed before permits nothing again.

        Known by step and time: times have whole seconds, and a departure and a restart may be granted within one.
        Expiry is not judged here: the operator withdraws, and the claim is preconditioned.
        """
        asked = self.phase is Phase.AWAITING_GRANT and self.requested_step is step
        if not asked or self.grant is None or self.grant.step is not step:
            return None
        is_used = used is not None and (used.step, used.granted_at) == (step, self.grant.granted_at)
        return None if is_used else self.grant


class OrderState(StrEnum):
    """What became of an order to restart, or to flush."""

    ABSENT = "Absent"
    """Never carried out, and nobody will: the process died between writing it down and handing it over."""
    PENDING = "Pending"
    HONOURED = "Honoured"
    REFUSED = "Refused"
    UNAVAILABLE = "Unavailable"
    """This engine, as it was started, offers nothing of the kind."""
    TIMED_OUT = "TimedOut"
    """A command that did not end in its time, and was ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswer:
    """The state and, where it was refused, why."""

    state: OrderState
    message: str = ""
    at: datetime | None = None
    """When a command accepted the order, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The readiness gate as the API server holds it."""

    in_rotation: bool
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """What may be done about a fault, per class where the worker overrides it, and whether all of it is paused."""

    mode: Mode = Mode.ENFORCE
    overrides: dict[str, Mode] = field(default_factory=dict)
    """Keyed by fault class; a string in the type, as JSON has no other keys."""
    paused: str = ""
    """Why nothing may be begun at this worker; empty: it may."""
    cluster_paused: str = ""
    """The same for the whole cluster."""

    def of(self, fault: FaultClass) -> Mode:
        """The one that counts."""
        return self.overrides.get(fault, self.mode)

    @property
    def ignored(self) -> frozenset[FaultClass]:
        """Classes from whose findings nothing follows."""
        return frozenset(fault for fault in FaultClass if self.of(fault) is Mode.OFF)

    def held(self, fault: FaultClass) -> str:
        """Why no step may begin; empty: it may."""
        mode = self.of(fault)
        if mode is not Mode.ENFORCE:
            return f"the mode is {mode} now"
        return f"paused: {self.pause}" if self.pause else ""

    @property
    def pause(self) -> str:
        """Why nothing may be begun, the cluster's reason first; empty: it may."""
        return f"the whole cluster, {self.cluster_paused}" if self.cluster_paused else self.paused

    def paused_also_by(self, document: Modes) -> Modes:
        """Each of the two ways on which the cluster's switch comes may be cut, so one that says it is enough."""
        if self.cluster_paused or not document.cluster_paused:
            return self
        return replace(self, cluster_paused=document.cluster_paused)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWish:
    """`spec.power` of the worker."""

    asleep: bool = False
    level: int = 1
    ours: bool = False
    """The worker says which it shall be, so nobody else puts its engines to sleep or wakes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Users' requests at the engine; None where the sockets cannot be read, which is to be taken as busy."""

    in_flight: int | None = None
    moving: bool | None = None
    """Bytes moved on any of these connections lately."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One look at the world. `monotonic` and `now` are the same instant on two clocks. Without slots, for `changed`."""

    now: datetime
    monotonic: float
    process_started_at: datetime
    identity: Identity
    verdict: Verdict
    """Without what is found of classes whose mode is `Off`."""
    policy: WatchdogPolicy
    task: EngineTask = EngineTask.GENERATE
    modes: Modes = field(default_factory=Modes)
    engine: EngineMark = field(default_factory=EngineMark)
    container: EngineContainer | None = None
    """None while it cannot be read."""
    refused_at: datetime | None = None
    """When a connection to the engine's port was last refused."""
    traffic: Traffic = field(default_factory=Traffic)
    views: Mapping[str, IncidentView] = field(default_factory=dict)
    gate: Gate | None = None
    api_unreachable_since: datetime | None = None
    restart_method: RestartMethod | None = None
    """None: the operator has not said yet."""
    last_restart_at: datetime | None = None
    """By this watchdog, from the journal."""
    restarts_spent: str = ""
    """Why this replica is not restarted any more within the hour; empty: it may be."""
    has_operator: bool = False
    """Somebody can evict this pod."""
    order: OrderAnswer | None = None
    """What became of the order of the case that has one."""
    abortable: int = 0
    """Own requests that may still run in the engine, where it has a call that aborts them by their ids."""
    abort: OrderAnswer | None = None
    """What became of the abort that was ordered, if one was."""
    can_flush: bool = False
    """This kind of engine has a call that empties its prefix cache."""
    flush: OrderAnswer | None = None
    """What became of the flush that was ordered, if one was."""
    kept_tokens: float = 0.0
    """Of a prompt from before the newest flush, found in the prefix cache after it: it emptied nothing."""
    power: PowerWish | None = None
    """None: not read yet."""
    can_sleep: bool = False
    """This kind of engine has calls for sleep and wake."""
    says_asleep: bool | None = None
    """By the engine's own word; None where it does not tell."""
    power_order: OrderAnswer | None = None
    """What became of the sleep or wake that was ordered, if one was."""
    jitter: timedelta = timedelta()
    """Added to the 30 s of an unreachable API server, so that replicas do not restart in step."""
    journal_durable: bool = True
    unchecked: str = ""
    """Start-up checks that a proof, or the first entry into rotation, still waits for."""
    baseline: Baseline = field(default_factory=Baseline)
    """Of this replica's output, as far as it is known now."""
    draining: bool = False
    release: str = ""
    """Value of the release annotation."""

    def when(self, at: float) -> datetime:
        """A monotonic instant as a stored time."""
        return self.now + timedelta(seconds=at - self.monotonic)

    def finding(self, fault: FaultClass) -> Finding | None:
        """The finding of that class, as strong as it stands now; one without consequences is none."""
        return next((found for found in self.verdict.findings if found.fault is fault and found.moves), None)

    def suspected(self) -> FaultClass | None:
        """The first class of a silent finding that may act: out of rotation costs nothing then."""
        silent = (finding.fault for finding in self.verdict.findings if finding.silent)
        return next((fault for fault in silent if self.modes.of(fault) is Mode.ENFORCE), None)

    def faulty(self, fault: FaultClass, *, since: datetime | None = None) -> bool:
        """Evidence that may kill, all of it after `since`."""
        finding = self.finding(fault)
        if self.verdict.state is not VerdictState.FAULTY or finding is None:
            return False
        return finding.state is VerdictState.FAULTY and (since is None or self.when(finding.since) > since)

    def proved_after(self, since: datetime) -> datetime | None:
        """Begin of a canary that passed and began after `since`; of any sign of health where no canary is allowed.

        Nothing is proved while checks of a new start are still to be made: they may be what failed before.
        """
        if self.unchecked:
            return None
        at = self.verdict.last_canary_passed_at
        if self.task is EngineTask.NONE:
            at = self.verdict.last_healthy_at
        if at is None or not self.verdict.is_well or self.when(at) <= since:
            return None
        return self.when(at)
