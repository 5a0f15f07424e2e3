"""Slots, steps and answers without processes or time."""

import pytest

from e2e.fault_engine.engine import Answer, Engine
from e2e.fault_engine.faults.active import ActiveFaults, Order
from e2e.fault_engine.faults.effects.effect import Admission
from e2e.fault_engine.limits import STEP_TOKENS, Limits
from e2e.fault_engine.request import Output, Request
from e2e.fault_engine.tokenizer import answer_length

LIMITS = Limits(max_num_seqs=2, max_model_len=8192)


def request(name: str, *, prompt: int = 3, max_tokens: int = 4, ignore_eos: bool = True) -> Request:
    return Request(name, list(range(100, 100 + prompt)), seed=7, max_tokens=max_tokens, ignore_eos=ignore_eos)


def step(engine: Engine) -> list[Output]:
    planned = engine.plan()
    assert planned is not None
    engine.finish(planned)
    return engine.take_outputs()


def drain(engine: Engine) -> dict[str, list[int]]:
    tokens: dict[str, list[int]] = {}
    while engine.scheduler.busy:
        for output in step(engine):
            tokens.setdefault(output.id, []).extend(output.tokens)
    return tokens


def faulty(*orders: tuple[str, str | None]) -> ActiveFaults:
    faults = ActiveFaults()
    faults.replace([Order(name, argument, serial) for serial, (name, argument) in enumerate(orders)], now=0.0)
    return faults


def test_requests_beyond_the_slots_wait_and_are_served_in_their_order() -> None:
    engine = Engine(LIMITS)
    for name in ("a", "b", "c", "d"):
        engine.scheduler.add(request(name))
    first = [output.id for output in step(engine)]
    assert first == ["a", "b"]
    assert (engine.stats().running, engine.stats().waiting, engine.stats().withheld) == (2, 2, False)
    assert list(drain(engine)) == ["a", "b", "c", "d"]
    assert (engine.stats().running, engine.stats().waiting, engine.stats().kv_usage) == (0, 0, 0)


def test_a_long_prompt_takes_steps_and_grows_the_cache_before_its_first_token() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("long", prompt=3 * STEP_TOKENS))
    usage = []
    for _ in range(2):
        assert step(engine) == []
        usage.append(engine.stats().kv_usage)
    assert 0 < usage[0] < usage[1]
    assert len(step(engine)[0].tokens) == 1


def test_a_step_takes_longer_the_more_it_prefills() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("short", prompt=1))
    planned = engine.plan()
    assert planned is not None
    assert engine.step_seconds(planned) == pytest.approx(0.02 + 0.0002)
    engine.finish(planned)
    decoding = engine.plan()
    assert decoding is not None
    assert engine.step_seconds(decoding) == pytest.approx(0.02)


def test_an_answer_ends_by_itself_unless_told_not_to() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("stops", max_tokens=500, ignore_eos=False))
    engine.scheduler.add(request("goes-on", max_tokens=500))
    tokens = drain(engine)
    assert (len(tokens["stops"]), len(tokens["goes-on"])) == (answer_length(7), 500)
    assert tokens["goes-on"][: len(tokens["stops"])] == tokens["stops"]


def test_an_aborted_request_frees_its_slot_and_blocks() -> None:
    engine = Engine(LIMITS)
    for name in ("a", "b", "c"):
        engine.scheduler.add(request(name))
    planned = engine.plan()
    assert planned is not None
    engine.abort(["a", "c"], now=0.0)
    engine.finish(planned)
    assert [output.id for output in engine.take_outputs()] == ["b"]
    assert (engine.stats().running, engine.stats().waiting) == (1, 0)


def test_the_cache_is_not_dropped_under_a_running_request_unless_it_is_preempted() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("a"))
    step(engine)
    assert engine.call(1, "reset_prefix_cache", {"preempt": False}) == Answer(1, False)
    assert engine.call(2, "reset_prefix_cache", {"preempt": True}) == Answer(2, True)
    assert len(drain(engine)["a"]) == 3


def test_a_pause_that_waits_answers_when_nothing_runs() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("a"))
    assert engine.call(1, "pause", {"mode": "wait"}) is None
    assert engine.due_answers() == []
    drain(engine)
    assert engine.due_answers() == [Answer(1, None)]
    assert engine.due_answers() == []


def test_resume_while_asleep_does_not_wake() -> None:
    engine = Engine(LIMITS)
    engine.call(1, "sleep", {"level": 1, "mode": "abort"})
    engine.call(2, "resume", {})
    assert engine.call(3, "is_paused", {}) == Answer(3, False)
    assert engine.call(4, "is_sleeping", {}) == Answer(4, True)


def seconds(engine: Engine) -> float:
    """Of the next step, which is made."""
    planned = engine.plan()
    assert planned is not None
    engine.finish(planned)
    return engine.step_seconds(planned)


def test_a_compile_stall_comes_with_a_length_that_was_never_computed_and_once() -> None:
    engine = Engine(LIMITS)
    engine.scheduler.add(request("seen", prompt=30, max_tokens=1))
    drain(engine)
    engine.faults.replace([Order("jit-stall", "30", 1)], now=0.0)
    took = []
    for name, prompt in (("alike", 25), ("longer", 300), ("longer still", 900)):
        engine.scheduler.add(request(name, prompt=prompt, max_tokens=1))
        took.append(seconds(engine))
    assert [round(time) for time in took] == [0, 30, 0]


def test_a_long_prefill_is_one_of_a_long_prompt() -> None:
    engine = Engine(LIMITS, faults=faulty(("long-prefill", "12")))
    took = []
    for name, prompt in (("short", 499), ("long", 500), ("short again", 20)):
        engine.scheduler.add(request(name, prompt=prompt, max_tokens=1))
        took.append(seconds(engine))
    assert [round(time) for time in took] == [0, 12, 0]


def test_a_repeated_order_keeps_the_state_of_a_fault_and_a_new_one_does_not() -> None:
    faults = ActiveFaults()
    admitted = Admission(requests=1, longest=3, unseen=True)
    assert not faults.replace([Order("jit-stall", "30", 1)], now=0.0)
    faults.step_seconds(0.02, admitted)
    assert not faults.replace([Order("jit-stall", "30", 1), Order("hang", None, 2)], now=1.0)
    assert faults.step_seconds(0.02, admitted) == pytest.approx(0.02)
    assert faults.replace([Order("jit-stall", "30", 3)], now=2.0)
    assert faults.step_seconds(0.02, admitted) == pytest.approx(30.02)


def test_death_is_counted_from_the_order() -> None:
    faults = ActiveFaults()
    faults.replace([Order("die", "5", 1)], now=100.0)
    faults.replace([Order("die", "5", 1), Order("hang", None, 2)], now=103.0)
    assert faults.death_at() == 105.0


def test_starvation_is_one_request_without_end_and_those_before_it_end() -> None:
    faults = ActiveFaults()
    engine = Engine(LIMITS, faults=faults)
    for name in ("a", "b", "c", "d"):
        engine.scheduler.add(request(name))
    step(engine)
    faults.replace([Order("starvation", None, 1)], now=0.0)
    said = [output.id for _ in range(20) for output in step(engine)]
    assert (said.count("a"), said.count("b"), said.count("d")) == (3, 3, 0)
    assert said.count("c") > 4, "it was to be four tokens long"
    assert (engine.stats().running, engine.stats().waiting) == (1, 1)
