"""All that the watchdog knows about its replica from one pass to the next, and the pass itself: `decide`.

What stands here is journalled; what does not is forgotten by a crash, and must be readable again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from llm_watchdog.api.names import incident_name
from llm_watchdog.api.reasons import FaultClass, GrantableStep, Outcome, Phase
from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.case import AbortOrder, Case, EngineMark, FlushOrder, Order, Stage
from llm_watchdog.core.ladder import PRECEDENCE
from llm_watchdog.core.metering import Meter
from llm_watchdog.core.power import Power, PowerOrder, take_power
from llm_watchdog.core.precaution import Precaution, take_precaution
from llm_watchdog.core.records import changed
from llm_watchdog.core.remediation import (
    Decision,
    drain,
    look,
    more_evidence,
    note_departure,
    note_pause,
    switch_off,
    watch,
)
from llm_watchdog.core.remediation_abort import abort
from llm_watchdog.core.remediation_begin import open_cases
from llm_watchdog.core.remediation_end import and_then, watch_again
from llm_watchdog.core.remediation_flush import flush
from llm_watchdog.core.remediation_replace import replace_pod
from llm_watchdog.core.remediation_restart import (
    act,
    adopt,
    await_grant,
    await_new_engine,
    claim,
    quarantine_along,
)
from llm_watchdog.core.remediation_verify import verify
from llm_watchdog.core.restart_count import recent, restarts_of, spent
from llm_watchdog.core.rotation import Rotation, advised, clear_engine, doubt, rotation
from llm_watchdog.core.situation import Modes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_watchdog.api.incident import Incident
    from llm_watchdog.core.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Held until the release annotation says something else than it said then."""

    since: datetime
    incident: str
    release: str = ""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """The journalled memory. Without slots, for `changed`."""

    cases: list[Case] = field(default_factory=list)
    """Open ones, and closed ones that the API server has not acknowledged."""
    sequences: dict[str, int] = field(default_factory=dict)
    """Last number used, per fault class."""
    ended: dict[str, datetime] = field(default_factory=dict)
    """When the last of each fault class ended that is not remembered any more."""
    engine: EngineMark | None = None
    engine_since: datetime | None = None
    cleared: bool = False
    """A canary that began after `engine_since` has passed."""
    waking: bool = False
    """It slept since it was last cleared."""
    precaution: Precaution | None = None
    """The flush after its newest wake; None: none is called for."""
    power: Power = field(default_factory=Power)
    doubted: FaultClass | None = None
    """Out of rotation on suspicion of this, until a sign of health."""
    last_restart_at: datetime | None = None
    restarts: list[datetime] = field(default_factory=list)
    """Within the last hour, in incidents that are not remembered any more."""
    quarantine: Quarantine | None = None
    baseline: Baseline = field(default_factory=Baseline)
    """What its output is like when it is well."""
    modes: Modes | None = None
    """As last read from the worker."""
    meter: Meter = field(default_factory=Meter)
    """A watchdog that starts again has not got its tokens back."""

    @property
    def open_cases(self) -> list[Case]:
        """Most urgent first: the one whose ladder is being climbed, then by precedence."""
        live = [case for case in self.cases if not case.closed]
        return sorted(live, key=lambda case: (case.stage is Stage.WATCHING, PRECEDENCE.index(case.fault)))

    @property
    def standing(self) -> list[Case]:
        """The open ones without those that are kept open in case the fault comes back."""
        return [case for case in self.open_cases if case.calm_since is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass decided. `replica` is to be in the journal before anything is carried out."""

    replica: Replica
    rotation: Rotation
    advised: Rotation
    """What it would be if the mode were Enforce."""
    restart: Order | None = None
    flush: FlushOrder | None = None
    power: PowerOrder | None = None
    abort: AbortOrder | None = None

    @property
    def orders_anything(self) -> bool:
        """Something is to be carried out."""
        return any(order is not None for order in (self.restart, self.flush, self.power, self.abort))


def decide(replica: Replica, situation: Situation) -> Pass:
    """One pass over everything."""
    if replica.baseline != situation.baseline:
        replica = changed(replica, baseline=situation.baseline)
    replica, situation = _count_restarts(replica, situation)
    replica = doubt(clear_engine(_release(replica, situation), situation), situation)
    if replica.quarantine is None:
        replica = open_cases(replica, situation)
    replica, precautionary = take_precaution(replica, situation)
    replica, power = take_power(replica, situation)
    decided, todo = _advance_all(replica, situation)
    replica = _quarantine(changed(replica, cases=decided), situation)
    restart = todo.restart if todo else None
    if restart is not None:
        replica = changed(replica, last_restart_at=situation.now)
    return Pass(
        replica=replica,
        rotation=rotation(replica, situation),
        advised=advised(replica, situation),
        restart=restart,
        flush=precautionary or (todo.flush if todo else None),
        power=power,
        abort=todo.abort if todo else None,
    )


def _count_restarts(replica: Replica, situation: Situation) -> tuple[Replica, Situation]:
    counted = recent([*replica.restarts, *restarts_of(replica.cases)], situation.now)
    allowed = situation.policy.remediation.budget.max_per_replica
    kept = recent(replica.restarts, situation.now)
    forgetting = replica if kept == replica.restarts else changed(replica, restarts=kept)
    return forgetting, changed(situation, restarts_spent=spent(counted, allowed))


_STAGES: Final[dict[Stage, Callable[[Case, Situation], Decision]]] = {
    Stage.WATCHING: watch,
    Stage.ABORTING: abort,
    Stage.DRAINING: drain,
    Stage.FLUSHING: flush,
    Stage.AWAITING: await_grant,
    Stage.CLAIMING: claim,
    Stage.CLAIMED: act,
    Stage.ORDERED: await_new_engine,
    Stage.REPLACING: replace_pod,
    Stage.VERIFYING: verify,
}


def advance(case: Case, situation: Situation) -> Decision:
    """One step of one incident."""
    return Decision(case=case) if case.closed else _STAGES[case.stage](case, situation)


def _advance_all(replica: Replica, situation: Situation) -> tuple[list[Case], Decision | None]:
    """One ladder at a time: only the first of the open cases may climb, the others may only heal."""
    lead = min(replica.open_cases, key=lambda case: _turn(case, situation), default=None)
    advanced: list[Case] = []
    todo: Decision | None = None
    for case in replica.cases:
        looked = note_departure(look(case, situation, lead=case is lead, barred=not replica.cleared), situation)
        if case is lead:
            todo = advance(looked, situation)
            looked = todo.case
        elif not case.closed and situation.verdict.is_well:
            looked = watch(looked, situation).case
        elif not case.closed and looked.stage is Stage.AWAITING:
            looked = watch_again(looked)
        looked = note_pause(switch_off(looked, situation), situation)
        ordered = case is lead and todo is not None and todo.restart is not None
        if ordered and (finding := situation.finding(case.fault)) is not None:
            looked = more_evidence(looked, finding, situation)
        advanced.append(_revised(case, looked))
    return advanced, todo


def _turn(case: Case, situation: Situation) -> tuple[bool, bool, bool]:
    """What is healthy again makes way for what is not."""
    return (not _climbs(case), not situation.faulty(case.fault), situation.finding(case.fault) is None)


def _climbs(case: Case) -> bool:
    """It is on its ladder. One that only asks to leave rotation makes way for a graver one."""
    asks_to_leave = case.stage is Stage.AWAITING and case.status.requested_step is GrantableStep.LEAVE_ROTATION
    return case.stage is not Stage.WATCHING and not asks_to_leave


def _revised(before: Case, after: Case) -> Case:
    changed = before.incident != after.incident
    return replace(after, revision=before.revision + 1) if changed else after


def _quarantine(replica: Replica, situation: Situation) -> Replica:
    """A ladder that ended in quarantine ends the replica's other incidents with it."""
    lead = next((case for case in replica.cases if case.status.outcome is Outcome.QUARANTINED), None)
    if lead is None or lead.status.closed_at != situation.now:
        return replica
    cases = [
        case if case.closed else replace(quarantine_along(case, lead, situation), revision=case.revision + 1)
        for case in replica.cases
    ]
    held = Quarantine(since=situation.now, incident=lead.name, release=situation.release)
    return changed(replica, cases=cases, quarantine=held)


def _release(replica: Replica, situation: Situation) -> Replica:
    """A person lifted the quarantine: back to the start, a canary has to pass first."""
    held = replica.quarantine
    if held is None or not situation.release or situation.release == held.release:
        return replica
    note = f"Released: {situation.release}."
    cases = [
        _revised(case, case.with_status(message=and_then(case, note))) if case.name == held.incident else case
        for case in replica.cases
    ]
    return changed(replica, cases=cases, quarantine=None, cleared=False, engine_since=situation.now)


def resolve_taken(replica: Replica, taken: Mapping[str, Incident], situation: Situation) -> Replica:
    """Names that an earlier life used: its open incident is gone on with, a closed one keeps its name."""
    cases: list[Case] = []
    sequences = dict(replica.sequences)
    for case in replica.cases:
        found = taken.get(case.name)
        if found is None or found.spec == case.incident.spec:
            cases.append(case)
        elif found.status.phase is not Phase.CLOSED:
            cases.append(adopt(case, found, situation))
        else:
            number = sequences[case.fault] = sequences.get(case.fault, 0) + 1
            who = situation.identity
            name = incident_name(who.worker, case.fault, who.pod.uid, number)
            cases.append(replace(case, incident=replace(case.incident, name=name), revision=case.revision + 1))
    return replica if cases == replica.cases else changed(replica, cases=cases, sequences=sequences)


def forget(replica: Replica, acknowledged: Mapping[str, int]) -> Replica:
    """Closed incidents that the API server holds in full need no memory here, unless a release is to be noted."""
    held = replica.quarantine.incident if replica.quarantine else None
    kept = [
        case
        for case in replica.cases
        if not case.closed or acknowledged.get(case.name) != case.revision or case.name == held
    ]
    if len(kept) == len(replica.cases):
        return replica
    forgotten = [case for case in replica.cases if case not in kept]
    ended = replica.ended | {case.fault.value: at for case in forgotten if (at := case.status.closed_at) is not None}
    return changed(replica, cases=kept, ended=ended, restarts=[*replica.restarts, *restarts_of(forgotten)])
