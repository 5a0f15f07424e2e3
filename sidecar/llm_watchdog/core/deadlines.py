"""Deadlines that fit this model on this machine, learned from its own canaries and from its histogram.

The method is the phi accrual failure detector (Hayashibara, Defago, Yared, Katayama: "The phi accrual failure
detector", SRDS 2004): the deadline is the time that an answer which is still to come exceeds with a probability of
10^-phi, under a normal distribution fitted to what was measured. Here it is fitted to the logarithms of the times, as
times to first token have a long tail, with exponential forgetting (West: "Updating mean and variance estimates", CACM
22(9), 1979, with a bounded weight) and a variance floor, as the paper's followers have it (Akka, Cassandra).

What is configured is the floor, or what the model needs by nature (`pace`) where that is longer; below `SAMPLES_MIN`
measurements it is all there is, and with `learn: false` what is configured. Nothing is learned from a period that a
verdict calls sick, nor from a shape's first answer, which may have compiled kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.company import company_of
from llm_watchdog.core.habits import ENDLESS_SAMPLES, LENGTH_SAMPLES, Habit, Habits, Length
from llm_watchdog.core.lulls import after_lull, times_longer
from llm_watchdog.core.pace import FACTOR, PATIENCE_MAX, pace
from llm_watchdog.core.records import changed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_watchdog.api.policy import WatchdogPolicy
    from llm_watchdog.api.thresholds import StalledStreamPolicy
    from llm_watchdog.core.canaries import CanaryObservation
    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.window import Window

SAMPLES_MIN: Final = 30
"""Of one shape and load; fewer say too little about the tail."""
WEIGHT_MIN: Final = 1 / 256
"""Of the newest sample: a habit follows the model over hours, not minutes."""
DEVIATIONS: Final = 5.61
"""Of the normal distribution at phi = 8 (one error in 10^8 canaries: one in six years, at one every 2 s)."""
DEVIATION_MIN: Final = 0.1
"""Variance floor, on the logarithm: about 10 % of the time itself."""
GROWTH_MAX: Final = 4.0
"""How far a deadline may grow beyond its floor: an illness that creeps up must not be waited for for ever."""
ENDLESS_FACTOR: Final = 20
"""Times the longest answer to the same question."""
ENDLESS_TOKENS: Final = 1000
"""At least: some applications answer at greater length now and then."""
KEYS_MAX: Final = 40
"""Shapes times levels of load."""
ENGINE: Final = "engine"
"""Key of the engine's own histogram, of everybody's requests."""
LEVELS: Final = (1, 4, 16, 64)
"""Other requests beside a canary, from which on the load counts as another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. `first_token`, `token_gap` and `restart` are those of a canary alone in a warm engine."""

    first_token: float
    token_gap: float
    restart: float
    busy: float
    busy_restart: float


def deadlines(window: Window, policy: StalledStreamPolicy, shape: str, others: int | None) -> Deadlines:
    """For a canary of a shape, beside so many requests of others (None: not known)."""
    fixed = Deadlines(
        first_token=policy.first_token_deadline,
        token_gap=policy.token_gap_deadline,
        restart=policy.restart_deadline,
        busy=policy.busy_deadline,
        busy_restart=policy.busy_restart_deadline,
    )
    if not policy.learn:
        return fixed
    habits, nature = window.habits, pace(window.paces, shape)
    alone = _times(habits.first_token.get(_key(shape, 0)), fixed.first_token, nature.first_token)
    gap = _times(habits.gap.get(_key(shape, 0)), fixed.token_gap, nature.gap)
    beside = growth(habits.first_token.get(_key(shape, others)), fixed.busy)
    busy = max(beside, growth(habits.first_token.get(ENGINE), fixed.busy))
    restart = fixed.restart * max(alone, gap)
    return Deadlines(
        first_token=fixed.first_token * alone,
        token_gap=fixed.token_gap * gap,
        restart=restart,
        busy=max(fixed.busy * max(busy, times_longer(habits, fixed.busy)), fixed.first_token * alone),
        busy_restart=max(fixed.busy_restart * busy, restart),
    )


def _times(habit: Habit | None, floor: float, by_nature: float) -> float:
    """How many times longer than the floor: what is learned may grow from what the model needs by nature."""
    natural = max(floor, FACTOR * by_nature)
    return growth(habit, natural) * natural / floor if floor > 0 else 1.0


def patience(window: Window, policy: WatchdogPolicy, shape: str) -> float:
    """Seconds after which a canary of that shape is given up. Longer than its deadline, which needs two of them."""
    timeout, stalled = policy.canary.timeout, policy.detectors.stalled_stream
    if not window.answered:
        silent = sum(canary.outcome is CanaryOutcome.NO_FIRST_TOKEN for canary in window.canaries)
        return max(timeout, min(timeout * 2.0 ** min(silent, 16), PATIENCE_MAX))
    limits = deadlines(window, stalled, shape, 0)
    longer = (limits.first_token / stalled.first_token_deadline, limits.token_gap / stalled.token_gap_deadline)
    return timeout * max(1.0, *longer)


def growth(habit: Habit | None, floor: float) -> float:
    """How many times longer than the floor this habit's deadline is: 1 to `GROWTH_MAX`."""
    if habit is None or habit.count < SAMPLES_MIN or floor <= 0:
        return 1.0
    deviation = max(DEVIATION_MIN, math.sqrt(max(0.0, habit.variance)))
    exponent = habit.mean + DEVIATIONS * deviation - math.log(floor)
    return math.exp(min(max(0.0, exponent), math.log(GROWTH_MAX)))


def usual(window: Window, shape: str) -> float | None:
    """Median seconds to the first token of a canary alone; None while too few were measured."""
    habit = window.habits.first_token.get(_key(shape, 0))
    return None if habit is None or habit.count < SAMPLES_MIN else math.exp(min(habit.mean, 50.0))


def learn(window: Window, verdict: Verdict) -> Window:
    """The window that has learned from what ended since it last did. To be called with each verdict."""
    sick = any(finding.incident for finding in verdict.findings)
    habits = after_lull(window, window.habits, verdict.at)
    habits = replace(habits, sick_at=verdict.at) if sick else habits
    if verdict.is_well:
        until = habits.learned_until
        for canary in [one for one in window.canaries if (one.finished_at or one.started_at) > until]:
            habits = _from_canary(window, habits, canary)
        habits = _from_histogram(window, habits)
    return changed(window, habits=replace(habits, learned_until=max(habits.learned_until, verdict.at)))


def measured(lengths: Mapping[str, Length], canary: CanaryObservation) -> Mapping[str, Length]:
    """With the length of one more whole answer, if the shape's usual length is not known yet."""
    known = lengths.get(canary.shape)
    tokens, characters = canary.tokens, len(canary.content.text)
    if known is None:
        return (
            {**lengths, canary.shape: Length(count=1, tokens=tokens, characters=characters, most_tokens=tokens)}
            if _has_room(lengths)
            else lengths
        )
    if known.count >= LENGTH_SAMPLES:
        return lengths
    ends = Length(
        count=known.count + 1,
        tokens=min(known.tokens, tokens),
        characters=min(known.characters, characters),
        most_tokens=max(known.most_tokens, tokens),
    )
    return {**lengths, canary.shape: ends}


def endless_after(window: Window, shape: str) -> int:
    """Tokens after which a stream has no end, where no limit can be asked for; 0: not known yet."""
    usual_length = window.lengths.get(shape)
    if usual_length is None or usual_length.count < ENDLESS_SAMPLES:
        return 0
    return max(ENDLESS_TOKENS, ENDLESS_FACTOR * usual_length.most_tokens)


def _from_canary(window: Window, habits: Habits, canary: CanaryObservation) -> Habits:
    first, last = canary.first_token_at, canary.last_token_at
    passed = canary.outcome is CanaryOutcome.SUCCEEDED and canary.flaw is None
    is_first = not any(c.shape == canary.shape and c.started_at < canary.started_at for c in window.canaries)
    unwatched = any(canary.started_at < blind.end and blind.begin < (last or 0.0) for blind in window.blind)
    if not passed or first is None or last is None or is_first or unwatched or canary.started_at <= habits.sick_at:
        return habits
    key = _key(canary.shape, company_of(window, canary))
    habits = replace(habits, first_token=_more(habits.first_token, key, first - canary.started_at))
    if canary.tokens > 1:
        habits = replace(habits, gap=_more(habits.gap, key, (last - first) / (canary.tokens - 1)))
    return habits


def _from_histogram(window: Window, habits: Habits) -> Habits:
    """The mean of all requests that got their first token between the newest two pages."""
    if len(window.metrics) < 2 or window.metrics[-1].at <= habits.learned_until:  # noqa: PLR2004
        return habits
    one, other = window.metrics[-2].reading, window.metrics[-1].reading
    if one is None or other is None or window.metrics[-2].at <= habits.sick_at:
        return habits
    sums, counts = (one.first_token_sum, other.first_token_sum), (one.first_token_count, other.first_token_count)
    if sums[0] is None or sums[1] is None or counts[0] is None or counts[1] is None or counts[1] <= counts[0]:
        return habits
    mean = (sums[1] - sums[0]) / (counts[1] - counts[0])
    return replace(habits, first_token=_more(habits.first_token, ENGINE, mean))


def _more(known: Mapping[str, Habit], key: str, seconds: float) -> Mapping[str, Habit]:
    if not (math.isfinite(seconds) and seconds >= 0) or (key not in known and not _has_room(known)):
        return known
    value = math.log(max(seconds, 1e-3))
    habit = known.get(key, Habit())
    weight = max(1 / (habit.count + 1), WEIGHT_MIN)
    step = value - habit.mean
    variance = (1 - weight) * (habit.variance + weight * step * step)
    return {**known, key: Habit(count=habit.count + 1, mean=habit.mean + weight * step, variance=variance)}


def _has_room(known: Mapping[str, object]) -> bool:
    return len(known) < KEYS_MAX


def _key(shape: str, others: int | None) -> str:
    level = "?" if others is None else str(sum(others >= limit for limit in LEVELS))
    return f"{shape} {level}"
