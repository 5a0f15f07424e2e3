"""Whatever comes in: nothing raises, the window stays bounded, and without positive evidence nothing is `Faulty`."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import VerdictState
from llm_watchdog.core import cadence
from llm_watchdog.core.canaries import (
    NO_EVIDENCE_OUTCOMES,
    SILENT_OUTCOMES,
    CanaryObservation,
    CanaryOutcome,
)
from llm_watchdog.core.intake import CANARIES_MAX, OTHERS_MAX, SHAPES_MAX, TRAFFIC_MAX, observe, observe_all
from llm_watchdog.core.observations import (
    AnswerKind,
    Beat,
    HealthObservation,
    LoadObservation,
    MetricsObservation,
    MetricsReading,
    SocketSample,
    SocketsObservation,
    StateObservation,
)
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window
from tests.sidecar.simulation import TARGET

POLICY = WatchdogPolicy()

moments = st.floats(allow_nan=True, allow_infinity=True) | st.floats(min_value=0, max_value=1000)
numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
counters = st.none() | st.integers(min_value=0, max_value=2**63)
kinds = st.sampled_from(AnswerKind)


def canaries(outcomes: st.SearchStrategy[CanaryOutcome]) -> st.SearchStrategy[CanaryObservation]:
    return st.builds(
        CanaryObservation,
        id=st.text(max_size=3),
        shape=st.text(max_size=2),
        started_at=moments,
        outcome=outcomes,
        first_token_at=st.none() | moments,
        last_token_at=st.none() | moments,
        finished_at=st.none() | moments,
        tokens=st.integers(min_value=-1, max_value=5),
        http_status=st.sampled_from([None, 200, 404, 429, 500, 503]),
    )


readings = st.builds(MetricsReading, **{f.name: numbers for f in fields(MetricsReading) if f.name != "asleep"})
samples = st.builds(
    SocketSample,
    peer=st.text(max_size=2),
    own=st.booleans(),
    open=st.booleans(),
    received=counters,
    acked=counters,
)
others = st.one_of(
    st.builds(MetricsObservation, at=moments, kind=kinds, reading=st.none() | readings),
    st.builds(HealthObservation, at=moments, kind=kinds, http_status=st.sampled_from([None, 200, 404, 500, 503])),
    st.builds(LoadObservation, at=moments, kind=kinds, requests=st.none() | st.integers()),
    st.builds(
        StateObservation,
        at=moments,
        kind=kinds,
        asleep=st.none() | st.booleans(),
        paused=st.none() | st.booleans(),
    ),
    st.builds(
        SocketsObservation,
        at=moments,
        readable=st.booleans(),
        listeners=st.frozensets(st.integers(0, 3), max_size=2),
        samples=st.lists(samples, max_size=4).map(tuple),
    ),
    st.builds(Beat, at=moments),
)
anything = others | canaries(st.sampled_from(CanaryOutcome))
not_silent_nor_failing = canaries(
    st.sampled_from(
        sorted(set(CanaryOutcome) - SILENT_OUTCOMES - {CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM})
    )
)
ANSWERED = observe(
    Window(),
    CanaryObservation(
        id="first",
        shape="s",
        started_at=0.0,
        first_token_at=0.1,
        last_token_at=0.1,
        finished_at=0.1,
        tokens=4,
        outcome=CanaryOutcome.SUCCEEDED,
    ),
)


@given(st.lists(anything, max_size=40), moments)
@settings(max_examples=150, deadline=None)
def test_nothing_raises_and_nothing_grows(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    judge(window, TARGET, POLICY, now)
    cadence.canary_due_at(window, TARGET, POLICY, now)
    cadence.metrics_interval(window, now)
    cadence.health_interval(window, now)
    window.ledger.served(now)
    assert len(window.warm_shapes) <= SHAPES_MAX


@given(st.lists(others | not_silent_nor_failing, max_size=40), moments)
@settings(max_examples=150, deadline=None)
def test_without_a_silent_or_failing_canary_nothing_is_faulty(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    assert judge(window, TARGET, POLICY, now).state not in (VerdictState.FAULTY, VerdictState.SUSPECT)


@given(st.lists(others | canaries(st.sampled_from(sorted(NO_EVIDENCE_OUTCOMES))), max_size=40), moments)
@settings(max_examples=100, deadline=None)
def test_our_own_failures_are_never_evidence(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    assert not judge(window, TARGET, POLICY, now).findings


@given(st.lists(anything, max_size=40), moments)
@settings(max_examples=100, deadline=None)
def test_an_engine_that_never_generated_is_unknown(observations: list[object], now: float) -> None:
    silent = [o for o in observations if not isinstance(o, CanaryObservation) or o.tokens <= 0]
    window = observe_all(Window(), silent)  # type: ignore[arg-type]
    verdict = judge(window, TARGET, POLICY, now)
    assert verdict.state is VerdictState.UNKNOWN
    assert verdict.unknown is not None


@given(st.lists(anything, max_size=20), st.floats(min_value=0, max_value=1000))
@settings(max_examples=100, deadline=None)
def test_a_token_now_is_health_now(observations: list[object], now: float) -> None:
    answer = CanaryObservation(
        id="newest",
        shape="s",
        started_at=now,
        first_token_at=now,
        last_token_at=now,
        finished_at=now,
        tokens=1,
        outcome=CanaryOutcome.SUCCEEDED,
    )
    window = observe(observe_all(ANSWERED, observations), answer)  # type: ignore[arg-type]
    assert judge(window, TARGET, POLICY, now).state not in (VerdictState.FAULTY, VerdictState.SUSPECT)


def test_a_long_life_stays_within_its_bounds() -> None:
    window = ANSWERED
    for n in range(2 * TRAFFIC_MAX):
        at = float(n)
        peers = tuple(SocketSample(peer=f"{n}:{p}", own=False, open=True, received=n, acked=n) for p in range(3))
        window = observe_all(
            window,
            (
                Beat(at=10.0 * n),
                SocketsObservation(at=at, readable=True, listeners=frozenset({1}), samples=peers),
                HealthObservation(at=at, kind=AnswerKind.ANSWERED, http_status=200),
                MetricsObservation(at=at, kind=AnswerKind.SILENT),
                LoadObservation(at=at, kind=AnswerKind.SILENT),
                StateObservation(at=at, kind=AnswerKind.SILENT),
                CanaryObservation(id=str(n), shape=str(n), started_at=at, tokens=1, last_token_at=at),
            ),
        )
    assert len(window.canaries) == CANARIES_MAX
    assert len(window.traffic) == TRAFFIC_MAX
    assert len(window.ledger.connections) == 3
    for history in (window.health, window.metrics, window.loads, window.states, window.blind):
        assert len(history) == OTHERS_MAX
