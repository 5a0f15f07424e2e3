"""All scores of one benchmark run, and the sums that the report is made of. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.bounds import at_most, quantile, wilson
from benchmarks.detection.scoring import Score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.detection.cases import Case, Run

PER_HOURS: Final = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Of a rule in some runs with a fault."""

    runs: int
    hits: int
    low: float
    high: float
    p50: float | None
    p99: float | None
    out_p50: float | None
    restart_p50: float | None
    right: int
    """Incidents of a class that is right, where the rule opens any."""
    opened: int

    @property
    def rate(self) -> float:
        return self.hits / self.runs if self.runs else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """Of a rule while nothing was wrong."""

    hours: float
    outs: int
    restarts: int
    incidents: int
    restarts_at_most: float
    """Per 1,000 h, with 95 % confidence."""
    outs_at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Per hour of looking, and as a share of what users were given."""

    requests: float
    tokens: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """The benchmark's own: of this run nothing can be said."""

    run: str
    why: str


@dataclass(slots=True)
class Results:
    drawn: int
    seeds: int
    sources: str
    """Hash of the code that was measured."""
    scores: dict[str, list[Score]] = field(default_factory=dict)
    """By part: faults, healthy, sporadic, free."""
    failures: list[Failure] = field(default_factory=list)

    def add(self, part: str, outcome: Score | Failure) -> None:
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
        else:
            self.scores.setdefault(part, []).append(outcome)

    def of(self, part: str, *, rule: str | None = None, behaviour: str | None = None) -> list[Score]:
        """Those of a part; all rules, and all behaviours, where none is named."""
        return [
            score
            for score in self.scores.get(part, [])
            if rule in (None, score.rule) and behaviour in (None, score.behaviour)
        ]

    def left_of(self, part: str, todo: Iterable[Run]) -> list[Run]:
        """Those that were not played yet."""
        played = {_identity(score.rule, score) for score in self.of(part)}
        return [run for run in todo if _identity(run.rule, run.case) not in played]

    def rules(self, part: str) -> set[str]:
        return {score.rule for score in self.of(part)}

    def behaviours(self, part: str) -> list[str]:
        return sorted({score.behaviour for score in self.of(part)})


def detection(scores: Sequence[Score]) -> Detection:
    """Runs in which the fault never came into force say nothing."""
    begun = [score for score in scores if score.began]
    hits = [score for score in begun if score.detected]
    seconds = [score.seconds for score in hits if score.seconds is not None]
    low, high = wilson(len(hits), len(begun))
    return Detection(
        runs=len(begun),
        hits=len(hits),
        low=low,
        high=high,
        p50=quantile(seconds, 0.5),
        p99=quantile(seconds, 0.99),
        out_p50=quantile([s.out_seconds for s in hits if s.out_seconds is not None], 0.5),
        restart_p50=quantile([s.restart_seconds for s in hits if s.restart_seconds is not None], 0.5),
        right=sum(score.right_class is True for score in hits),
        opened=sum(score.right_class is not None for score in hits),
    )


def alarms(scores: Sequence[Score]) -> Alarms:
    """Also what was done before a fault came."""
    hours = sum(score.healthy_hours for score in scores)
    outs, restarts = sum(s.false_outs for s in scores), sum(s.false_restarts for s in scores)
    per = PER_HOURS / hours if hours else float("inf")
    return Alarms(
        hours=hours,
        outs=outs,
        restarts=restarts,
        incidents=sum(score.false_incidents for score in scores),
        restarts_at_most=at_most(restarts) * per,
        outs_at_most=at_most(outs) * per,
    )


def cost(scores: Sequence[Score]) -> Cost:
    hours = sum(score.hours for score in scores) or 1.0
    tokens, users = sum(s.tokens for s in scores), sum(s.user_tokens for s in scores)
    return Cost(
        requests=sum(score.requests for score in scores) / hours,
        tokens=tokens / hours,
        share=tokens / users if users else None,
    )


def detected_within(scores: Sequence[Score], seconds: float) -> float | None:
    """Share of the runs that had a reaction so soon."""
    begun = [score for score in scores if score.began]
    if not begun:
        return None
    return sum(score.seconds is not None and score.seconds <= seconds for score in begun) / len(begun)


def _identity(rule: str, played: Case | Score) -> tuple[object, ...]:
    return (
        rule,
        played.behaviour,
        played.fault,
        played.argument,
        played.incidence,
        played.dialect,
        played.seed,
    )


def as_json(results: Results) -> dict[str, Any]:
    return {
        "drawn": results.drawn,
        "seeds": results.seeds,
        "sources": results.sources,
        "scores": {part: [score.as_json() for score in scores] for part, scores in results.scores.items()},
        "failures": [{"run": failure.run, "why": failure.why} for failure in results.failures],
    }


def from_json(document: Mapping[str, Any]) -> Results:
    """What `as_json` wrote. Runs that failed are to be played again."""
    return Results(
        drawn=document["drawn"],
        seeds=document["seeds"],
        sources=document["sources"],
        scores={part: [Score(**score) for score in scores] for part, scores in document["scores"].items()},
    )
