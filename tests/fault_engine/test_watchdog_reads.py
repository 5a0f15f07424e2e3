"""The watchdog's dialects read what this engine says: two descriptions of the same servers, made apart, agree."""

import time
from collections.abc import Callable

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.canaries import CanaryOutcome
from llm_watchdog.core.observations import AnswerKind
from llm_watchdog.engines.dialect import Ask, Call
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes.canary import CanaryOrder, CanaryProbe
from llm_watchdog.probes.engine_client import EngineClient
from tests.fault_engine.process import DEADLINE_SECONDS, EngineProcess, eventually
from tests.fault_engine.wire import ANSWER, PROMPT, get

TOKENS = 24


@pytest.mark.parametrize("kind", EngineType)
async def test_every_probe_of_a_dialect_understands_the_engine(
    start_engine: Callable[..., EngineProcess], kind: EngineType
) -> None:
    engine = start_engine("--dialect", kind.value, "--enable-prompt-tokens-details")
    eventually(lambda: get(engine, "/").status != 503)
    port = int(engine.url.rpartition(":")[2])
    dialect = dialect_of(EngineTarget(type=kind, port=port, model="tiny", path="/chat", text_field="query"))
    client = EngineClient(port, lambda: None)
    probe = CanaryProbe(client, dialect, time.monotonic)
    try:
        for shape in dialect.shapes:
            for place, cold in enumerate(("", "d41d8cd9")):
                asked = f"{shape}-{place}"
                ask = Ask(prompt=PROMPT, request_id=asked, max_tokens=TOKENS, model="tiny", cold=cold, free_stop=True)
                call = dialect.generate(shape, ask)
                order = CanaryOrder(id=asked, shape=shape, call=call, timeout=DEADLINE_SECONDS, max_tokens=TOKENS)
                seen = await probe.send(order, lambda _: None)
                assert (seen.outcome, seen.flaw, seen.detail) == (CanaryOutcome.SUCCEEDED, None, "")
                assert seen.content.text.strip().startswith(ANSWER)
        assert (await client.call(dialect.health, seconds=DEADLINE_SECONDS)).is_ok
        if dialect.models_path is not None:
            call = Call(method=dialect.models_method, path=dialect.models_path)
            listed = await client.call(call, seconds=DEADLINE_SECONDS)
            assert [name.removesuffix(":latest") for name in dialect.read_models(listed.body)] == ["tiny"]
        if dialect.metrics_path is not None:
            page = await client.get(dialect.metrics_path, seconds=DEADLINE_SECONDS)
            reading = dialect.read_metrics(page.body.decode())
            assert reading is not None
            assert (reading.running, reading.waiting) == (0, 0)
        for status in dialect.status_calls:
            answer = await client.call(status.call, seconds=DEADLINE_SECONDS)
            assert answer.kind is AnswerKind.ANSWERED
            assert status.takes_slot or dialect.read_status(status.name, answer.body) is not None, status.name
    finally:
        await client.aclose()
