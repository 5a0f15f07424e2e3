"""Whatever comes in: nothing raises, the window stays bounded, and without positive evidence nothing is `Faulty`."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.reasons import REASONS, FaultClass, FindingReason, UnknownReason, VerdictState
from llm_watchdog.core import cadence
from llm_watchdog.core.canaries import (
    NO_EVIDENCE_OUTCOMES,
    SILENT_OUTCOMES,
    CanaryObservation,
    CanaryOutcome,
    Content,
    Flaw,
)
from llm_watchdog.core.deadlines import KEYS_MAX, learn
from llm_watchdog.core.intake import CANARIES_MAX, OTHERS_MAX, SHAPES_MAX, STATUS_MAX, TRAFFIC_MAX, observe, observe_all
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
    StatusObservation,
    StatusReading,
)
from llm_watchdog.core.verdict import judge
from llm_watchdog.core.window import Window
from tests.sidecar.simulation import TARGET

POLICY = WatchdogPolicy()

moments = st.floats(allow_nan=True, allow_infinity=True) | st.floats(min_value=0, max_value=1000)
numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
counters = st.none() | st.integers(min_value=0, max_value=2**63)
kinds = st.sampled_from(AnswerKind)


def canaries(
    outcomes: st.SearchStrategy[CanaryOutcome], *, flawed: bool = True
) -> st.SearchStrategy[CanaryObservation]:
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
        finish=st.sampled_from([None, "stop", "length", "abort", "error"]),
        max_tokens=st.integers(min_value=0, max_value=8),
        flaw=st.none() | st.sampled_from(Flaw) if flawed else st.none(),
        content=st.builds(Content, text=st.text(max_size=3), completion_tokens=st.none() | st.integers(-1, 9)),
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
status_readings = st.builds(
    StatusReading,
    slots=st.none() | st.integers(-1, 4),
    busy=st.none() | st.integers(-1, 9),
    waiting=st.none() | st.integers(0, 9),
    progress=numbers,
    unloaded=st.none() | st.booleans(),
    leaving=st.sampled_from(["", "Stopping..."]),
)
harmless = st.one_of(
    st.builds(MetricsObservation, at=moments, kind=kinds),
    st.builds(
        MetricsObservation,
        at=moments,
        kind=kinds,
        reading=st.builds(MetricsReading, prompt_tokens=numbers, finished=numbers, first_token_sum=numbers),
    ),
    st.builds(HealthObservation, at=moments, kind=kinds, http_status=st.sampled_from([None, 200, 404, 500, 503])),
    st.builds(LoadObservation, at=moments, kind=kinds, requests=st.none() | st.integers()),
    st.builds(StateObservation, at=moments, kind=kinds, asleep=st.sampled_from([None, False])),
    st.builds(
        SocketsObservation,
        at=moments,
        readable=st.booleans(),
        listeners=st.frozensets(st.integers(0, 3), max_size=2),
        samples=st.lists(samples, max_size=4).map(tuple),
    ),
    st.builds(StatusObservation, at=moments, name=st.sampled_from(["a", "b"]), kind=kinds),
    st.builds(Beat, at=moments),
)
others = harmless | st.one_of(
    st.builds(MetricsObservation, at=moments, kind=kinds, reading=readings, own_canaries=st.integers(0, 2)),
    st.builds(
        StateObservation,
        at=moments,
        kind=kinds,
        asleep=st.none() | st.booleans(),
        paused=st.none() | st.booleans(),
    ),
    st.builds(
        StatusObservation,
        at=moments,
        name=st.sampled_from(["a", "b"]),
        kind=kinds,
        reading=st.none() | status_readings,
        seconds=moments,
        takes_slot=st.booleans(),
    ),
)
anything = others | canaries(st.sampled_from(CanaryOutcome))
answered = canaries(
    st.sampled_from(
        sorted(
            set(CanaryOutcome)
            - SILENT_OUTCOMES
            - {CanaryOutcome.SERVER_ERROR, CanaryOutcome.ERROR_IN_STREAM, CanaryOutcome.INCOMPLETE}
            - {CanaryOutcome.REFUSED}
        )
    ),
    flawed=False,
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
@settings(max_examples=150)
def test_nothing_raises_and_nothing_grows(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    verdict = judge(window, TARGET, POLICY, now)
    assert all(finding.reason in REASONS[finding.fault] for finding in verdict.findings)
    window = learn(learn(window, verdict), verdict)
    cadence.canary_due_at(window, TARGET, POLICY, now)
    cadence.metrics_interval(window, now)
    cadence.health_interval(window, now)
    window.ledger.served(now)
    assert len(window.warm_shapes) <= SHAPES_MAX
    assert max(len(window.habits.first_token), len(window.habits.gap), len(window.lengths)) <= KEYS_MAX


@given(st.lists(harmless | answered, max_size=40), moments)
@settings(max_examples=150)
def test_without_evidence_nothing_moves(observations: list[object], now: float) -> None:
    """Health, load, sockets, counters that stand still, answered canaries: none of it is a fault."""
    verdict = judge(observe_all(ANSWERED, observations), TARGET, POLICY, now)  # type: ignore[arg-type]
    assert verdict.state is not VerdictState.FAULTY
    assert not any(finding.moves for finding in verdict.findings if finding.reason is not FindingReason.ANSWER_CUT)


@given(st.lists(others | answered, max_size=40), moments)
@settings(max_examples=150)
def test_without_a_silent_or_failing_canary_none_of_the_canaries_classes_is_told(
    observations: list[object], now: float
) -> None:
    verdict = judge(observe_all(ANSWERED, observations), TARGET, POLICY, now)  # type: ignore[arg-type]
    by_canary = {FaultClass.ENGINE_DEAD, FaultClass.STALLED_STREAM, FaultClass.INCOMPLETE_STREAM}
    assert not [f for f in verdict.findings if f.fault in by_canary and f.state is VerdictState.FAULTY]


@given(st.lists(harmless | canaries(st.sampled_from(sorted(NO_EVIDENCE_OUTCOMES)), flawed=False), max_size=40), moments)
@settings(max_examples=100)
def test_our_own_failures_are_never_evidence(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    assert not any(finding.moves for finding in judge(window, TARGET, POLICY, now).findings)


@given(st.lists(others | canaries(st.sampled_from(CanaryOutcome)), max_size=30), moments)
@settings(max_examples=100)
def test_a_sleeping_or_unloaded_engine_is_never_faulty_for_silence(observations: list[object], now: float) -> None:
    window = observe_all(ANSWERED, observations)  # type: ignore[arg-type]
    verdict = judge(window, TARGET, POLICY, now)
    if window.asleep:
        assert {finding.fault for finding in verdict.findings} <= {FaultClass.WAKE_FAILED}
        assert verdict.unknown is UnknownReason.ASLEEP
    elif window.unloaded:
        assert (verdict.unknown, verdict.findings) == (UnknownReason.UNLOADED, ())


@given(st.lists(anything, max_size=40), moments)
@settings(max_examples=100)
def test_an_engine_that_never_generated_is_unknown(observations: list[object], now: float) -> None:
    silent = [o for o in observations if not isinstance(o, CanaryObservation) or o.tokens <= 0]
    window = observe_all(Window(), silent)  # type: ignore[arg-type]
    verdict = judge(window, TARGET, POLICY, now)
    assert verdict.state is VerdictState.UNKNOWN
    assert verdict.unknown is not None


@given(st.lists(anything, max_size=20), st.floats(min_value=0, max_value=1000))
@settings(max_examples=100)
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
    by_silence = {FindingReason.NO_FIRST_TOKEN, FindingReason.NO_PROGRESS, FindingReason.AWAKE_BUT_SILENT}
    found = judge(window, TARGET, POLICY, now).findings
    assert not [finding for finding in found if finding.silent and finding.reason in by_silence]


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
                StatusObservation(at=at, name="slots", kind=AnswerKind.SILENT),
                CanaryObservation(id=str(n), shape=str(n), started_at=at, tokens=1, last_token_at=at),
            ),
        )
    assert len(window.canaries) == CANARIES_MAX
    assert len(window.traffic) == TRAFFIC_MAX
    assert len(window.ledger.connections) == 3
    assert len(window.status) == STATUS_MAX
    for history in (window.health, window.metrics, window.loads, window.states, window.blind):
        assert len(history) == OTHERS_MAX
