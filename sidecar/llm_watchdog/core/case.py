"""One open incident as remediation works on it: the record that the API shows, and the machine's own place in it.

Both go into the journal together, so that a process that starts anew stands where the last one fell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from llm_watchdog.api.incident import Grant, Incident, IncidentStatus, Step
from llm_watchdog.api.reasons import FaultClass, FindingReason, RestartMethod, Rung, StepOutcome


class Stage(StrEnum):
    """Finer than the phase in the API: every point at which a process may die and another goes on."""

    WATCHING = "Watching"
    """The finding stands, nothing has begun (or a granted departure from rotation is all that was done)."""
    ABORTING = "Aborting"
    """Waits for the engine's answer to the abort of own requests."""
    DRAINING = "Draining"
    FLUSHING = "Flushing"
    """Waits until nobody is served, then for the engine's answer to the flush."""
    AWAITING = "Awaiting"
    """A grant is asked for."""
    CLAIMING = "Claiming"
    """The grant was seen; the write that claims it may or may not have arrived."""
    CLAIMED = "Claimed"
    """The step may begin and has not."""
    ORDERED = "Ordered"
    """The restart is ordered; whether the engine is a new one is not known yet."""
    REPLACING = "Replacing"
    """The grant for another pod is claimed; once the step is on record, the operator evicts this one."""
    VERIFYING = "Verifying"
    CLOSED = "Closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMark:
    """What tells one run of the engine from the next. Each part is None while it cannot be read."""

    container_id: str | None = None
    """From the own pod's status; None while the API server is unreachable, so that it is never a stale one."""
    listener: int | None = None
    """Inode of the socket that listens on the engine's port; 0 while nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One restart, to be carried out at most once. The id is what the supervisor remembers."""

    id: str
    incident: str
    at: datetime
    method: RestartMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushOrder:
    """One flush of the prefix cache. Given again after a crash: a cache that is emptied twice is empty."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortOrder:
    """One abort of all own requests that may still run. Given again after a crash: an ended request stays ended."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`rung` is the index in `ladder` of the rung that is being climbed, or comes next."""

    incident: Incident
    ladder: list[Rung] = field(default_factory=list)
    stage: Stage = Stage.WATCHING
    rung: int = 0
    attempt: int = 1
    """At that rung, which this is or will be; grows only with a verification that saw the fault again."""
    left: bool = False
    """The replica is out of rotation because of this case."""
    present: bool = True
    """The finding stood at the last look; a return is counted as an occurrence."""
    recurs: bool = False
    """Another of this class ended shortly before it: kept open until the fault has stayed away for a while."""
    calm_since: datetime | None = None
    """Healthy again since then, and kept open for that reason alone."""
    pause_note: str = ""
    """What the record's message says of a pause."""
    engine: EngineMark | None = None
    """The engine that a restart is meant for."""
    order: Order | None = None
    flush: FlushOrder | None = None
    abort: AbortOrder | None = None
    restarted: bool = False
    """The engine was seen to be a new one after a restart of ours."""
    ungranted: bool = False
    """Restarted under the exception of invariant 4: it serves nothing and the API server cannot be reached."""
    claimed_grant: Grant | None = None
    """The last one that was claimed: it permits one step, also while the operator is away."""
    revision: int = 1
    """Grows with each change of the record; what the API server has acknowledged is one of these."""

    @property
    def name(self) -> str:
        """The incident's."""
        return self.incident.name

    @property
    def fault(self) -> FaultClass:
        """The incident's."""
        return self.incident.spec.fault

    @property
    def status(self) -> IncidentStatus:
        """The incident's."""
        return self.incident.status

    @property
    def closed(self) -> bool:
        """Nothing more will happen in it."""
        return self.stage is Stage.CLOSED

    def at_a_cure(self, abortable: int) -> Case:
        """Past a flush, unless it is the cache that is to blame, and past an abort of nothing.

        Neither is on record then: whoever is called at night wants to read what was tried, not what never applied.
        """
        case = self
        if case.next_rung is Rung.ABORT_REQUEST and not abortable:
            case = case.climbed()
        if case.next_rung is Rung.FLUSH_CACHE and case.status.reason is not FindingReason.CACHE_CORRUPT:
            case = case.climbed()
        return case

    def climbed(self) -> Case:
        """The rung after this one comes next."""
        return replace(self, rung=self.rung + 1, attempt=1, order=None)

    @property
    def next_rung(self) -> Rung:
        """A ladder that is used up ends in quarantine, whatever it says."""
        return self.ladder[self.rung] if self.rung < len(self.ladder) else Rung.QUARANTINE

    def with_status(self, **changes: Any) -> Case:
        """The same case, another record."""
        return replace(self, incident=replace(self.incident, status=replace(self.status, **changes)))

    def begin_step(self, rung: Rung, now: datetime) -> Case:
        """Write a step down before it begins."""
        return self.with_status(steps=[*self.status.steps, Step(step=rung, started_at=now)])

    def finish_step(self, now: datetime) -> Case:
        """The acting part of the last step has ended; whether it helped is not known yet."""
        return self._last_step(finished_at=now)

    def judge_step(self, outcome: StepOutcome, proof: str, now: datetime) -> Case:
        """What came of the last step."""
        finished = self.status.steps[-1].finished_at or now
        return self._last_step(finished_at=finished, outcome=outcome, proof=proof)

    def drop_step(self) -> Case:
        """Take back a step that was written down and never begun."""
        return self.with_status(steps=self.status.steps[:-1])

    def _last_step(self, **changes: Any) -> Case:
        *earlier, last = self.status.steps
        return self.with_status(steps=[*earlier, replace(last, **changes)])

    @property
    def open_step(self) -> Rung | None:
        """The step that is on record as begun and not as judged."""
        last = self.status.steps[-1] if self.status.steps else None
        return last.step if last is not None and last.outcome is None else None

    @property
    def was_observed(self) -> bool:
        """The ladder was only described."""
        return any(step.outcome is StepOutcome.DRY_RUN for step in self.status.steps)


def same_engine(one: EngineMark, other: EngineMark) -> bool | None:
    """For rotation: the listener decides, as it changes at once. None where nothing can be compared."""
    if one.listener is not None and other.listener is not None:
        return one.listener == other.listener
    if one.container_id is not None and other.container_id is not None:
        return one.container_id == other.container_id
    return None


def engine_is_new(before: EngineMark, now: EngineMark, *, refused_since: bool) -> bool:
    """For the proof of a restart: the container id decides where it can be read, else the listening socket."""
    if before.container_id is not None and now.container_id is not None:
        return before.container_id != now.container_id
    if not now.listener:
        return False
    return refused_since if before.listener is None else before.listener != now.listener
