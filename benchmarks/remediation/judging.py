"""From the record of the watch to waits, and to every moment at which budget or brake did not hold. Pure.

The rules are written anew here, from `docs/operator.md`: a mistake in the operator's own must not hide itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks.remediation.plan import MAX_PER_HOUR, WorkerPlan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.remediation.watched import Seen

HEARD_SECONDS: Final = 1.0
"""A common cause that stood on the watch for so long before a grant was to be known, also if the request was older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """One grant, in seconds before it."""

    incident: str
    wait: float
    """Since nothing forbade it."""
    turn: float
    """Of the time since the request, the part in which budget or brake forbade it."""
    reported: float
    """Since the incident was there."""
    is_first: bool
    """Nothing ever forbade it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A grant, or a state, that was not to be."""

    worker: tuple[str, str]
    incident: str
    why: str


@dataclass(slots=True, kw_only=True)
class Judged:
    """Of one scenario."""

    waited: list[Waited] = field(default_factory=list)
    budget: list[Breach] = field(default_factory=list)
    brake: list[Breach] = field(default_factory=list)
    requests: int = 0
    withdrawn: int = 0
    """Grants that nobody claimed in time."""
    closed: int = 0
    waiting: int = 0
    """Requests without a grant at the end."""
    trials: int = 0
    """Workers in which a cause stood and a restart was granted."""
    held: int = 0
    """Workers whose trial was not proven."""
    request_seconds: float = 0.0
    """From the first request to the last."""
    seconds: float = 0.0
    """From the first incident to the last change."""
    asked_at: list[float] = field(default_factory=list)
    granted_at: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Request:
    """One incident on its way to a grant."""

    created: float
    asked: float | None = None
    free_since: float | None = None
    forbidden: float = 0.0
    """Seconds so far."""
    forbidden_since: float | None = None
    cause_known: bool = False
    """When it asked."""


class _Worker:
    """What the watch has told of one."""

    def __init__(self, plan: WorkerPlan) -> None:
        self.plan = plan
        self.state: dict[str, Seen] = {}
        self.requests: dict[str, _Request] = {}
        self.cause_since: float | None = None
        self.restarts = 0

    def holders(self, but: str = "") -> set[str]:
        return {seen.pod for seen in self.state.values() if seen.holds} - {but}

    def _count(self, outcome: str) -> int:
        return sum(seen.begun and seen.outcome == outcome for seen in self.state.values())

    @property
    def refuted(self) -> bool:
        return self._count("Quarantined") > self._count("Recovered")

    @property
    def cause(self) -> bool:
        """Replicas that are ill now, those in quarantine among them."""
        ill = {seen.pod for seen in self.state.values() if not seen.closed or seen.outcome == "Quarantined"}
        return len(ill) >= self.plan.alike

    def brake(self, seen: Seen) -> str:
        """Why a cause forbids a restart, if it does."""
        if self.refuted:
            return "the trial was not proven"
        others = self.holders(but=seen.pod)
        if others and not self._count("Recovered"):
            return f"a trial is under way in {', '.join(sorted(others))}"
        return ""

    def forbidden(self, seen: Seen) -> bool:
        full = len(self.holders(but=seen.pod)) >= self.plan.allowed or self.restarts >= MAX_PER_HOUR
        return full or (self.cause and bool(self.brake(seen)))


def judge(record: Sequence[Seen], plans: Iterable[WorkerPlan]) -> Judged:
    """In the order of the watch, which is the order in which the API server took the writes."""
    workers = {plan.key: _Worker(plan) for plan in plans}
    judged = Judged()
    for seen in record:
        _take(workers[seen.worker], seen, judged)
    _conclude(judged, record, workers)
    return judged


def _take(worker: _Worker, seen: Seen, judged: Judged) -> None:
    before = worker.state.get(seen.incident)
    request = worker.requests.setdefault(seen.incident, _Request(created=seen.at))
    given = seen.grant if before is None or before.grant != seen.grant else ""
    if given:
        _grant(worker, seen, request, judged)
    if before is not None and before.asks and before.grant and seen.asks and not seen.grant:
        judged.withdrawn += 1
        worker.restarts -= 1
    worker.state[seen.incident] = seen
    if worker.cause:
        worker.cause_since = seen.at if worker.cause_since is None else worker.cause_since
    else:
        worker.cause_since = None
    if seen.asks and request.asked is None:
        request.asked = seen.at
        request.cause_known = worker.cause
        judged.asked_at.append(seen.at)
    holders = worker.holders()
    if len(holders) > worker.plan.allowed:
        why = f"{len(holders)} replicas in granted steps, {worker.plan.allowed} allowed"
        judged.budget.append(Breach(worker=seen.worker, incident=seen.incident, why=why))
    _look_at_waiting(worker, seen.at)


def _grant(worker: _Worker, seen: Seen, request: _Request, judged: Judged) -> None:
    """Judged by the state before it."""
    known = worker.cause_since is not None and seen.at - worker.cause_since > HEARD_SECONDS
    forbids = worker.brake(seen) if worker.cause and (request.cause_known or known) else ""
    if forbids:
        judged.brake.append(Breach(worker=seen.worker, incident=seen.incident, why=forbids))
    if worker.restarts >= MAX_PER_HOUR:
        why = f"restart {worker.restarts + 1} within the hour, {MAX_PER_HOUR} allowed"
        judged.budget.append(Breach(worker=seen.worker, incident=seen.incident, why=why))
    worker.restarts += 1
    asked = seen.at if request.asked is None else request.asked
    since = asked if request.free_since is None else request.free_since
    judged.granted_at.append(seen.at)
    judged.waited.append(
        Waited(
            incident=seen.incident,
            wait=seen.at - since,
            turn=request.forbidden,
            reported=seen.at - request.created,
            is_first=request.forbidden == 0,
        )
    )


def _look_at_waiting(worker: _Worker, at: float) -> None:
    """Who may be granted from now on, and who may not any more."""
    for name, seen in worker.state.items():
        request = worker.requests[name]
        forbids = seen.waits and worker.forbidden(seen)
        if forbids and request.forbidden_since is None:
            request.forbidden_since = at
        elif not forbids and request.forbidden_since is not None:
            request.forbidden += at - request.forbidden_since
            request.forbidden_since = None
        if not seen.waits or forbids:
            request.free_since = None
        elif request.free_since is None:
            request.free_since = at


def _conclude(judged: Judged, record: Sequence[Seen], workers: Mapping[tuple[str, str], _Worker]) -> None:
    last = [seen for worker in workers.values() for seen in worker.state.values()]
    judged.requests = len(judged.asked_at)
    judged.closed = sum(seen.closed for seen in last)
    judged.waiting = sum(seen.waits for seen in last)
    judged.trials = sum(worker.plan.has_cause and worker.restarts > 0 for worker in workers.values())
    judged.held = sum(worker.cause and worker.refuted for worker in workers.values())
    if judged.asked_at:
        judged.request_seconds = judged.asked_at[-1] - judged.asked_at[0]
    if record:
        begin = record[0].at
        judged.seconds = record[-1].at - begin
        judged.asked_at = [at - begin for at in judged.asked_at]
        judged.granted_at = [at - begin for at in judged.granted_at]
