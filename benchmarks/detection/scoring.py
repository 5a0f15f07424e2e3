"""From what a rule did in one run to what it is worth. Pure.

A reaction is the first of: out of rotation, restart, incident. It counts from the moment at which the fault came into
force. What happened before, or without a fault, is false, unless nothing could be served anyway.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.trace import Deed, Event, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.detection.cases import Case

REACTIONS: Final = (Deed.LEFT, Deed.RESTART, Deed.OPENED)
HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    rule: str
    behaviour: str
    fault: str
    argument: str | None
    incidence: float | None
    dialect: str
    load: str
    seed: str
    expected: str | None
    """Fault class; None: nothing is wrong."""
    unseen: str = ""
    """Why nothing shows it from outside in this dialect, by the catalogue. It is played and counted all the same."""
    began: bool = True
    """The fault came into force. A rule that probes may keep an idle engine from what idleness does to it."""
    detected: bool = False
    seconds: float | None = None
    """To the first reaction."""
    out_seconds: float | None = None
    restart_seconds: float | None = None
    incident_seconds: float | None = None
    back_seconds: float | None = None
    """In rotation again after a restart."""
    found: str = ""
    """Class and reason of the first incident."""
    right_class: bool | None = None
    false_outs: int = 0
    false_restarts: int = 0
    false_incidents: int = 0
    healthy_hours: float = 0.0
    requests: int = 0
    tokens: int = 0
    user_tokens: int = 0
    hours: float = 0.0
    own_errors: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def score(case: Case, rule: str, trace: Trace) -> Score:
    is_fault = case.entry.expected is not None
    onset = trace.onset if is_fault else None
    events = _settled(trace.events)
    before = [event for event in events if onset is None or event.at < onset]
    if case.unserved or case.story.value == "wake":
        before = [
            event for event in before if event.deed is not Deed.LEFT or event.at < case.startup_seconds + case.onset
        ]
    after = [] if onset is None else [event for event in events if event.at >= onset]
    times = {deed: next((event.at for event in after if event.deed is deed), None) for deed in REACTIONS}
    if onset is not None and _is_out(events, onset):
        times[Deed.LEFT] = onset
    first = min((at for at in times.values() if at is not None), default=None)
    opened = next((event for event in after if event.deed is Deed.OPENED), None)
    restart = times[Deed.RESTART]
    back = next((e.at for e in after if e.deed is Deed.ENTERED and restart is not None and e.at > restart), None)
    classes = (case.entry.expected, *case.entry.also)
    return Score(
        rule=rule,
        behaviour=case.behaviour,
        fault=case.fault,
        argument=case.argument,
        incidence=case.incidence,
        dialect=case.dialect,
        load=case.load.value,
        seed=case.seed,
        expected=case.entry.expected,
        unseen=case.entry.unseen.get(case.dialect, ""),
        began=not is_fault or onset is not None,
        detected=first is not None,
        seconds=_since(first, onset),
        out_seconds=_since(times[Deed.LEFT], onset),
        restart_seconds=_since(restart, onset),
        incident_seconds=_since(times[Deed.OPENED], onset),
        back_seconds=_since(back, onset),
        found="" if opened is None else f"{opened.fault}/{opened.reason}",
        right_class=None if opened is None else opened.fault in classes,
        false_outs=_count(before, Deed.LEFT),
        false_restarts=_count(before, Deed.RESTART),
        false_incidents=_count(before, Deed.OPENED),
        healthy_hours=(trace.ended if onset is None else onset) / HOUR,
        requests=trace.cost.requests,
        tokens=trace.cost.tokens,
        user_tokens=trace.cost.user_tokens,
        hours=trace.ended / HOUR,
        own_errors=trace.own_errors,
    )


def _settled(events: Sequence[Event]) -> list[Event]:
    """A restart takes the replica out of rotation too, which is not another reaction."""
    kept: list[Event] = []
    restarted = False
    for event in events:
        if event.deed is Deed.RESTART:
            restarted = True
        if event.deed is Deed.ENTERED:
            restarted = False
        if event.deed is not Deed.LEFT or not restarted:
            kept.append(event)
    return kept


def _is_out(events: Sequence[Event], onset: float) -> bool:
    """It was out already when the fault came, and came back only after somebody had done something about it."""
    rotation = [event for event in events if event.deed in (Deed.ENTERED, Deed.LEFT) and event.at < onset]
    if not rotation or rotation[-1].deed is Deed.ENTERED:
        return False
    following = next((event.deed for event in events if event.at >= onset and event.deed is not Deed.CLOSED), None)
    return following is not Deed.ENTERED


def _since(at: float | None, onset: float | None) -> float | None:
    return None if at is None or onset is None else round(at - onset, 3)


def _count(events: Sequence[Event], deed: Deed) -> int:
    return sum(event.deed is deed for event in events)
