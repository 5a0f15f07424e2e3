"""What the operator says that an engine lacks is what its dialect says of itself."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest

from llm_watchdog.api.limits import (
    BYPASS_BY_PREFIX,
    CROSS_TALK_CHECK_ROBS,
    LACKS,
    NEEDED,
    Ability,
    Limit,
    LimitReason,
    limits,
)
from llm_watchdog.api.policy import EngineTarget, EngineTask, EngineType, ProbeCost, WatchdogPolicy
from llm_watchdog.api.thresholds import ChecksPolicy, DegradedOutputPolicy, DetectorsPolicy, KnownAnswer, Switch
from llm_watchdog.engines.dialect import Ask, Capabilities
from llm_watchdog.engines.registry import DIALECTS
from llmworker_operator.domain.conditions import MESSAGE_MAX

DEFAULT = WatchdogPolicy()
ASKING = DetectorsPolicy(degraded_output=DegradedOutputPolicy(known_answers=[KnownAnswer(prompt="1 + 1?", answer="2")]))
NOT_A_LIMIT = {"canary", "end_of_stream"}
"""Every dialect has these."""


def said(engine: EngineTarget, watchdog: WatchdogPolicy = DEFAULT) -> list[LimitReason]:
    return [limit.reason for limit in limits(engine, watchdog)]


def test_every_capability_is_an_ability_or_there_with_every_dialect() -> None:
    assert {each.name for each in fields(Capabilities)} == {ability.value for ability in Ability} | NOT_A_LIMIT
    for engine, dialect in DIALECTS.items():
        assert all(getattr(dialect.capabilities, name) for name in NOT_A_LIMIT), engine


def test_every_engine_type_is_in_the_table() -> None:
    assert LACKS.keys() == set(EngineType)


@pytest.mark.parametrize("engine", DIALECTS)
def test_the_table_is_what_the_dialects_say(engine: EngineType) -> None:
    capabilities = DIALECTS[engine].capabilities
    assert LACKS[engine] == {ability for ability in Ability if not getattr(capabilities, ability.value)}


@pytest.mark.parametrize("engine", DIALECTS)
def test_where_the_cross_talk_check_robs(engine: EngineType) -> None:
    assert (engine in CROSS_TALK_CHECK_ROBS) is not DIALECTS[engine].pair_is_safe


@pytest.mark.parametrize(
    "engine", sorted(DIALECTS.keys() - {e for e in EngineType if Ability.CACHE_BYPASS in LACKS[e]})
)
def test_where_a_request_has_no_word_for_a_bypass(engine: EngineType) -> None:
    dialect = DIALECTS[engine]()
    for shape in dialect.shapes:
        ask = Ask(prompt="Count:", request_id="1", max_tokens=4, model="m")
        same = dialect.generate(shape, replace(ask, cold="5a17")) == dialect.generate(shape, ask)
        assert same is (engine in BYPASS_BY_PREFIX)


def test_nothing_is_said_of_an_engine_that_lacks_nothing() -> None:
    assert not said(EngineTarget(type=EngineType.VLLM))


@pytest.mark.parametrize(
    "enough",
    [EngineTarget(type=EngineType.FASTCHAT, concurrency=5), EngineTarget(type=EngineType.DBGPT, model="qwen")],
    ids=lambda target: str(target.type),
)
def test_leaks_are_seen_with_what_is_needed(enough: EngineTarget) -> None:
    field, sentence = NEEDED[enough.type]
    bare = EngineTarget(type=enough.type)
    assert f"engine.{field}" in sentence
    assert Limit(reason=LimitReason.LEAKS_UNSEEN, message=sentence) in limits(bare, DEFAULT)
    assert LimitReason.LEAKS_UNSEEN not in said(enough)


@pytest.mark.parametrize("task", [EngineTask.EMBED, EngineTask.NONE])
def test_no_canary_comes_first_and_nothing_that_rests_on_one_after_it(task: EngineTask) -> None:
    for engine in EngineType:
        first, *rest = said(EngineTarget(type=engine, task=task))
        assert first is LimitReason.NO_CANARY
        assert not set(rest) & {
            LimitReason.CROSS_TALK_UNCHECKED,
            LimitReason.CANARY_ON_SUSPICION,
            LimitReason.CACHE_UNCHECKED,
            LimitReason.NO_FLUSH,
            LimitReason.NO_ABORT,
        }


@pytest.mark.parametrize(
    ("switch", "reason"),
    [
        (Switch.AUTO, LimitReason.CROSS_TALK_UNCHECKED),
        (Switch.ON, LimitReason.CROSS_TALK_CHECK_DISTURBS),
        (Switch.OFF, None),
    ],
)
def test_cross_talk_check_beside_users(switch: Switch, reason: LimitReason | None) -> None:
    about = {LimitReason.CROSS_TALK_UNCHECKED, LimitReason.CROSS_TALK_CHECK_DISTURBS}
    policy = WatchdogPolicy(checks=ChecksPolicy(cross_talk=switch))
    free = EngineTarget(type=EngineType.LAZYLLM, probe_cost=ProbeCost.FREE)
    assert set(said(free, policy)) & about == ({reason} if reason else set())
    for other in (replace(free, probe_cost=None), EngineTarget(type=EngineType.VLLM)):
        assert not set(said(other, policy)) & about


@pytest.mark.parametrize("cost", [None, ProbeCost.FREE, ProbeCost.METERED])
@pytest.mark.parametrize("engine", EngineType)
def test_metered(engine: EngineType, cost: ProbeCost | None) -> None:
    target = EngineTarget(type=engine, probe_cost=cost)
    assert (LimitReason.CANARY_ON_SUSPICION in said(target)) is target.metered


def test_slots_are_checked_for_sure_with_their_number() -> None:
    wanted = WatchdogPolicy(checks=ChecksPolicy(slots=Switch.ON))
    assert said(EngineTarget(type=EngineType.VLLM), wanted) == [LimitReason.SLOTS_UNCHECKED]
    assert not said(EngineTarget(type=EngineType.VLLM, concurrency=16), wanted)


def test_known_answers_lift_a_limit() -> None:
    openai = EngineTarget(type=EngineType.OPENAI)
    assert LimitReason.CACHE_UNCHECKED in said(openai)
    assert LimitReason.CACHE_UNCHECKED not in said(openai, WatchdogPolicy(detectors=ASKING))


def every_limit() -> list[tuple[Limit, ...]]:
    return [
        limits(
            EngineTarget(type=engine, task=task, probe_cost=cost),
            WatchdogPolicy(checks=ChecksPolicy(cross_talk=on, slots=on)),
        )
        for engine, task, cost, on in product(EngineType, EngineTask, [None, *ProbeCost], Switch)
    ]


def test_no_sentence_is_cut_off_in_the_condition() -> None:
    assert max(len("; ".join(limit.message for limit in found)) for found in every_limit()) <= MESSAGE_MAX


def test_every_reason_has_a_use_and_stands_once_and_in_order() -> None:
    order = list(LimitReason)
    for found in every_limit():
        places = [order.index(limit.reason) for limit in found]
        assert places == sorted(set(places))
    assert {limit.reason for found in every_limit() for limit in found} == set(LimitReason)
