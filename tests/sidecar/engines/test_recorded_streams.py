"""The contract: each recorded stream, good and bad, through the real canary, however the network cuts it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome, Flaw
from llm_watchdog.engines.dialect import Ask, Dialect
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes.canary import CanaryOrder, CanaryProbe
from tests.sidecar.engines.replay import RECORDINGS, Cut, End, recorded, replaying

GOOD = CanaryOutcome.SUCCEEDED
PATIENCE, IMPATIENCE = 60.0, 0.5
"""Seconds: for what comes to an end, and for what does not."""


@dataclass(frozen=True)
class Case:
    name: str
    engine: EngineType
    outcome: CanaryOutcome
    tokens: int
    flaw: Flaw | None = None
    end: End = End.WHOLE
    max_tokens: int = 20


_F, _D, _C, _L = EngineType.FASTCHAT, EngineType.DBGPT, EngineType.CHATCHAT, EngineType.LAZYLLM
_V, _O = EngineType.VLLM, EngineType.OPENAI
_INCOMPLETE, _ERROR = CanaryOutcome.INCOMPLETE, CanaryOutcome.ERROR_IN_STREAM

CASES = (
    Case("fastchat/worker_generate_stream.raw", _F, GOOD, 5),
    Case("fastchat/words_stream.raw", _F, GOOD, 3),
    Case("fastchat/worker_generate.raw", _F, GOOD, 5),
    Case("fastchat/generator_raised.raw", _F, _INCOMPLETE, 2, Flaw.BODY_CUT, End.CUT),
    Case("fastchat/openai_stream.raw", _O, GOOD, 3),
    Case("fastchat/openai_plain.raw", _O, GOOD, 1),
    Case("fastchat/openai_empty_prompt.raw", _O, _ERROR, 0, Flaw.ERROR_IN_STREAM),
    Case("fastchat/openai_killed_midstream.raw", _O, _INCOMPLETE, 176, Flaw.BODY_CUT, End.CUT, 200),
    Case("fastchat/openai_broken_pydantic2.raw", _O, _INCOMPLETE, 0, Flaw.BODY_CUT, End.CUT),
    Case("fastchat/openai_leaked_stream.raw", _O, CanaryOutcome.NO_FIRST_TOKEN, 0, None, End.SILENCE),
    Case("dbgpt/generate_stream.raw", _D, GOOD, 3),
    Case("dbgpt/generate.raw", _D, GOOD, 1),
    Case("dbgpt/upstream_cut.raw", _D, _ERROR, 1, Flaw.UPSTREAM_FAILED),
    Case("dbgpt/upstream_500.raw", _D, _ERROR, 0, Flaw.UPSTREAM_FAILED),
    # Nothing in it differs from a good one but its length: `AnswerCut` is found against this replica's baseline.
    Case("dbgpt/upstream_ended_early.raw", _D, GOOD, 3),
    Case("dbgpt/stall.raw", _D, CanaryOutcome.TOKEN_GAP, 1, None, End.SILENCE),
    Case("dbgpt/stall_until_giveup.raw", _D, _ERROR, 1, Flaw.UPSTREAM_FAILED),
    Case("dbgpt/probe_while_stalled.raw", _D, CanaryOutcome.NO_FIRST_TOKEN, 0, None, End.SILENCE),
    # The API server in front of the worker gives no finish reason either: `openai` is not its dialect.
    Case("dbgpt/apiserver_stream.raw", _O, _INCOMPLETE, 3, Flaw.NO_FINISH_REASON),
    Case("dbgpt/apiserver_cut.raw", _O, _ERROR, 1, Flaw.ERROR_IN_STREAM),
    Case("dbgpt/apiserver_stall.raw", _O, CanaryOutcome.TOKEN_GAP, 1, None, End.SILENCE),
    Case("dbgpt/apiserver_pinned.raw", _O, CanaryOutcome.NO_FIRST_TOKEN, 0, None, End.SILENCE),
    Case("chatchat/good_stream.raw", _C, GOOD, 3),
    Case("chatchat/good_plain.raw", _C, GOOD, 1),
    Case("chatchat/upstream_cut.raw", _C, _ERROR, 1, Flaw.UPSTREAM_FAILED),
    Case("chatchat/upstream_500_plain.raw", _C, _ERROR, 0, Flaw.UPSTREAM_FAILED),
    # Its own error handler failed on the error; what upstream did does not show.
    Case("chatchat/upstream_500_stream.raw", _C, _INCOMPLETE, 0, Flaw.BODY_CUT, End.CUT),
    Case("chatchat/upstream_ended_early.raw", _C, _INCOMPLETE, 2, Flaw.NO_FINISH_REASON),
    Case("chatchat/stall.raw", _C, CanaryOutcome.TOKEN_GAP, 1, None, End.SILENCE),
    Case("chatchat/saturated.raw", _C, CanaryOutcome.SERVER_ERROR, 0, Flaw.UPSTREAM_FAILED),
    # LazyLLM's fault does not show in one stream: the cross-talk checks compare the texts below.
    Case("lazyllm/bug_n1.raw", _L, GOOD, 13),
    Case("lazyllm/fix_n1.raw", _L, GOOD, 13),
    Case("lazyllm/helper_n1.raw", _L, GOOD, 13),
    Case("lazyllm/bug_n2.raw#0", _L, GOOD, 25),
    Case("lazyllm/bug_n2.raw#1", _L, GOOD, 1),
    Case("lazyllm/fix_n2.raw#0", _L, GOOD, 13),
    Case("lazyllm/fix_n2.raw#1", _L, GOOD, 13),
    Case("lazyllm/helper_n2.raw#0", _L, GOOD, 13),
    Case("lazyllm/helper_n2.raw#1", _L, GOOD, 13),
    Case("lazyllm/bug_n4.raw#0", _L, GOOD, 4),
    Case("lazyllm/bug_n4.raw#1", _L, GOOD, 2),
    Case("lazyllm/bug_n4.raw#2", _L, GOOD, 1),
    Case("lazyllm/bug_n4.raw#3", _L, GOOD, 45),
    # A whole document counts as one token: no stream, no pace.
    Case("vllm/completion_stream.http", _V, GOOD, 8),
    Case("vllm/completion_ignore_eos.http", _V, GOOD, 8),
    Case("vllm/completion_end.http", _V, GOOD, 1),
    Case("vllm/completion_nostream.http", _V, GOOD, 1),
    Case("vllm/chat_stream.http", _V, GOOD, 8),
    Case("vllm/chat_stream_contusage.http", _V, GOOD, 4),
    Case("vllm/chat_nostream.http", _V, GOOD, 1),
    Case("vllm/completion_badjson.http", _V, CanaryOutcome.REJECTED, 0),
    Case("vllm/completion_badmodel.http", _V, CanaryOutcome.REJECTED, 0),
    Case("vllm/completion_badsalt.http", _V, CanaryOutcome.REJECTED, 0),
    Case("vllm/completion_toolong.http", _V, CanaryOutcome.REJECTED, 0),
    Case("vllm/stream_engine_death.sse", _V, _ERROR, 0, Flaw.ERROR_IN_STREAM),
    Case("vllm/stream_abort_by_pause.sse", _V, _INCOMPLETE, 0),
)

NO_GENERATION = {
    "fastchat/worker_get_status.raw",
    "fastchat/leaked_status.raw",
    "dbgpt/model_metadata.raw",
    "dbgpt/controller_models.raw",
}


def dialect(engine: EngineType) -> Dialect:
    return dialect_of(EngineTarget(type=engine, model="m", path="/chat", text_field="query"))


async def send(case: Case, cut: Cut) -> CanaryObservation:
    answer, spoken = recorded(case.name), dialect(case.engine)
    ask = Ask(prompt="Count", request_id="c", max_tokens=case.max_tokens, model="m")
    order = CanaryOrder(
        id="c",
        shape="s",
        call=spoken.generate(spoken.shapes[0], ask),
        timeout=IMPATIENCE if case.end is End.SILENCE else PATIENCE,
        max_tokens=case.max_tokens,
    )
    async with replaying(answer, case.end, cut.pieces(answer.body, case.name)) as client:
        return await CanaryProbe(client, spoken, time.monotonic).send(order, lambda _: None)


@pytest.mark.parametrize("cut", Cut)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_recorded_stream(case: Case, cut: Cut) -> None:
    seen = await send(case, cut)
    assert (seen.outcome, seen.flaw, seen.tokens) == (case.outcome, case.flaw, case.tokens), seen.detail


def test_no_recording_is_left_out() -> None:
    folders = ("fastchat", "dbgpt", "chatchat", "lazyllm")
    present = {f"{folder}/{path.name}" for folder in folders for path in (RECORDINGS / folder).glob("*.raw")}
    replayed = {case.name.partition("#")[0] for case in CASES if not case.name.startswith("vllm/")}
    assert present == replayed | NO_GENERATION


async def test_what_the_streams_say() -> None:
    said = {
        case.name: (await send(case, Cut.RANDOM)).content.text
        for case in CASES
        if case.outcome is GOOD and case.engine in (_F, _D, _C, _L)
    }
    assert said["fastchat/worker_generate_stream.raw"] == "ll<llo<llo<"
    assert said["dbgpt/generate_stream.raw"] == said["dbgpt/generate.raw"] == "a b canary-17 "
    assert said["chatchat/good_stream.raw"] == "a b canary "
    clean = [name for name in said if name.startswith(("lazyllm/fix", "lazyllm/helper", "lazyllm/bug_n1"))]
    for name in clean:
        words = said[name].split()
        assert [word.partition("-")[2] for word in words] == [f"{n:02d}" for n in range(12)], name
        assert len({word.partition("-")[0] for word in words}) == 1


async def test_cross_talk_shows_in_the_texts_though_every_final_result_was_right() -> None:
    at_once = [case for case in CASES if case.name.startswith("lazyllm/bug_n2.raw")]
    robber, robbed = [(await send(case, Cut.ONE)).content.text for case in at_once]
    assert robbed == ""
    assert len({word.partition("-")[0] for word in robber.split()}) == 2
