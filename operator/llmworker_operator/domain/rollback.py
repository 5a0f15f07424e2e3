"""Whether the template of an earlier spec is in force instead of the present one. Pure; its memory is the Deployment.

The spec is the user's and is never written. What it asks for is refused, once for each rollout, until it changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Self

from llm_watchdog.api import names
from llmworker_operator.domain.times import read_time, write_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from llmworker_operator.domain.brake import Brake
    from llmworker_operator.domain.record import IncidentView
    from llmworker_operator.domain.replica import Replica
    from llmworker_operator.domain.rollout import Change

REVISION: Final = f"{names.GROUP}/revision"
SINCE: Final = f"{names.GROUP}/revision-since"
GOOD: Final = f"{names.GROUP}/last-good-revision"
REFUSED: Final = f"{names.GROUP}/refused-revision"
BECAUSE: Final = f"{names.GROUP}/refused-because"

BECAUSE_MAX: Final = 700
"""Characters; the condition that says it has room for 1024."""
SKEW: Final = timedelta(seconds=5)
"""Between our clock, which dates a revision, and the API server's, which dates pods in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What of a spec shapes the pods, and what the watchdog and the Service have to know of the engine in them."""

    template: str
    """Digest, which names the ControllerRevision."""
    engine: str
    """Digest of `spec.engine`: a template that was made for another engine is of no use beside this one."""

    def __str__(self) -> str:
        return f"{self.template}.{self.engine}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        template, dot, engine = text.partition(".")
        return cls(template=template, engine=engine) if dot and template and engine else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """As they stand in the Deployment's annotations, written together with its template."""

    current: Revision | None = None
    """Whose template it has."""
    since: datetime | None = None
    """When it got that template."""
    good: Revision | None = None
    """The last before it with which all replicas were well."""
    refused: Revision | None = None
    """The spec asks for it, and does not get it."""
    because: str = ""


def read_marks(deployment: Mapping[str, object] | None) -> Marks:
    """Nothing is marked before this was written, nor on a Deployment that is not there."""
    metadata = (deployment or {}).get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    said = {key: str(value) for key, value in (annotations or {}).items()}
    return Marks(
        current=Revision.read(said.get(REVISION, "")),
        since=read_time(said.get(SINCE)),
        good=Revision.read(said.get(GOOD, "")),
        refused=Revision.read(said.get(REFUSED, "")),
        because=said.get(BECAUSE, ""),
    )


def annotations_of(marks: Marks) -> dict[str, str]:
    """What is not known is left out, and so taken away."""
    written = {
        REVISION: str(marks.current or ""),
        SINCE: write_time(marks.since) if marks.since else "",
        GOOD: str(marks.good or ""),
        REFUSED: str(marks.refused or ""),
        BECAUSE: marks.because,
    }
    return {key: value for key, value in written.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the worker is doing with the template that it has."""

    sound: bool = False
    """All replicas are up with it, and nothing has been wrong for as long as a fault would be blamed on it."""
    blamed: str = ""
    """Why the brake takes its rollout for the cause, in its words; empty: it does not."""


def choose(
    wished: Revision, marks: Marks, standing: Standing, *, automatic: bool, stored: Collection[str], now: datetime
) -> Marks:
    """The marks that the Deployment is to have; `current.template` is the one to use. `stored` are those that exist."""
    good = marks.good
    if automatic and good is not None and _fits(good, wished, stored):
        if wished == marks.refused:
            return _using(good, marks, now)
        if wished == marks.current and standing.blamed:
            return replace(_using(good, marks, now), refused=wished, because=standing.blamed[:BECAUSE_MAX])
    forward = replace(_using(wished, marks, now), refused=None, because="")
    changes = marks.current is not None and marks.current.template != wished.template
    return replace(forward, good=marks.current) if changes and standing.sound else forward


def _fits(good: Revision, wished: Revision, stored: Collection[str]) -> bool:
    return good.template in stored and good.template != wished.template and good.engine == wished.engine


def _using(revision: Revision, marks: Marks, now: datetime) -> Marks:
    same = marks.current is not None and marks.current.template == revision.template
    return replace(marks, current=revision, since=marks.since if same else now)


def standing_of(
    marks: Marks,
    *,
    complete: bool,
    change: Change | None,
    after_rollout: timedelta,
    brakes: Sequence[Brake],
    incidents: Sequence[IncidentView],
    replicas: Sequence[Replica],
    now: datetime,
) -> Standing:
    """`complete` is the Deployment's rollout, `after_rollout` how long after it a fault is blamed on it."""
    over = None if change is None else change.finished_at
    settled = complete and (change is None or (over is not None and over <= now - after_rollout))
    troubled = any(not i.closed for i in incidents) or any(r.quarantined for r in replicas)
    blamed = next((brake.message for brake in brakes if _blames(brake, marks, replicas)), "")
    return Standing(sound=settled and not troubled, blamed=blamed)


def _blames(brake: Brake, marks: Marks, replicas: Sequence[Replica]) -> bool:
    """The rollout of this very template: right after a change the newest pods that are seen are still the old ones."""
    suspect = brake.cause.suspect
    if not brake.held or suspect is None or marks.since is None:
        return False
    made = [r.created_at for r in replicas if r.revision == suspect.template_hash and r.created_at is not None]
    return bool(made) and min(made) >= marks.since - SKEW
