"""Own requests are aborted by their ids over real sockets, and a user's beside them goes on."""

import asyncio
import time
from collections.abc import Callable

import pytest

from llm_watchdog.api.policy import EngineTarget, EngineType
from llm_watchdog.core.canaries import CanaryObservation, CanaryOutcome
from llm_watchdog.core.request_ids import request_id
from llm_watchdog.engines.dialect import Ask
from llm_watchdog.engines.registry import dialect_of
from llm_watchdog.probes.canary import CanaryOrder, CanaryProbe
from llm_watchdog.probes.engine_client import EngineClient
from tests.fault_engine.process import DEADLINE_SECONDS, EngineProcess, eventually
from tests.fault_engine.wire import get

LONG = 800
OURS, A_USERS = request_id("p", "0" * 16, 1), request_id("p", "0" * 16, 1).rstrip("~")


@pytest.mark.parametrize("kind", [EngineType.VLLM, EngineType.SGLANG])
async def test_only_the_named_request_ends(start_engine: Callable[..., EngineProcess], kind: EngineType) -> None:
    engine = start_engine("--dialect", kind.value, "--max-model-len", "1024", "--token-seconds", "0.02")
    eventually(lambda: get(engine, "/").status != 503)
    port = int(engine.url.rpartition(":")[2])
    dialect = dialect_of(EngineTarget(type=kind, port=port, model="tiny"))
    client = EngineClient(port, lambda: None, forbidden=dialect.forbidden)
    probe, seen = CanaryProbe(client, dialect, time.monotonic), dict[str, CanaryObservation]()

    def ask(name: str) -> asyncio.Task[CanaryObservation]:
        asked = Ask(prompt="Count", request_id=name, max_tokens=LONG, model="tiny")
        call = dialect.generate(dialect.shapes[0], asked)
        order = CanaryOrder(id=name, shape="", call=call, timeout=DEADLINE_SECONDS, max_tokens=LONG, patient=True)
        return asyncio.create_task(probe.send(order, lambda canary: seen.update({name: canary})))

    ours, users = ask(OURS), ask(A_USERS)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not all(name in seen and seen[name].tokens for name in (OURS, A_USERS)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            (call,) = dialect.abort((OURS,))
            answer = await client.call(call, seconds=DEADLINE_SECONDS)
            assert (answer.is_ok, dialect.read_abort(answer.body)) == (True, "")
            ended = await ours
            assert (ended.outcome, ended.finish) == (CanaryOutcome.INCOMPLETE, "abort")
            before = seen[A_USERS].tokens
            while seen[A_USERS].tokens == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            again = await client.call(call, seconds=DEADLINE_SECONDS)
            assert dialect.read_abort(again.body) == (
                "none of these requests of ours is known to it" if kind is EngineType.VLLM else ""
            )
        assert not users.done()
    finally:
        users.cancel()
        await asyncio.gather(ours, users, return_exceptions=True)
        await client.aclose()
