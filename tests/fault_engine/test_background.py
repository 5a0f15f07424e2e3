"""Background users: real connections, in every dialect, changed at run time, and gone with the engine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.fault_engine.dialects import DIALECTS
from tests.fault_engine.process import EngineProcess, eventually, http, soon


@pytest.mark.parametrize("dialect", DIALECTS)
def test_users_are_served_in_every_dialect(start_engine: Callable[..., EngineProcess], dialect: str) -> None:
    engine = start_engine("--dialect", dialect, "--background", "2", "--token-seconds", "0.001")

    def served() -> list[object]:
        users = [event for event in engine.events("finished") if event["user_agent"] == "background"]
        return [event["tokens"] for event in users if event["status"] == 200 and not event["cut"]]

    eventually(lambda: len(served()) >= 2)
    assert set(served()) <= {*range(1, 65)}
    assert len({event["remote"] for event in engine.events("accepted")}) >= 2


async def test_a_burst_fills_slots_and_queue_and_is_served(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--max-num-seqs", "4", "--token-seconds", "0.02")
    load: dict[str, object] = {"burst": 40, "max_tokens": 20}
    answered = http.put(f"{engine.control_url}/traffic", json=load)
    assert answered.json() | load == answered.json()
    await soon(lambda: engine.metric("num_requests_waiting") > 20)
    await soon(lambda: engine.metric("num_requests_running") == 4)  # a moment ago one may have ended
    await soon(lambda: engine.metric('request_success_total{finished_reason="length"}') == 40)


def test_wrong_traffic_is_refused(engine: EngineProcess) -> None:
    wrong: list[object] = [{"streams": -1}, {"users": 3}, {"streams": "many"}, []]
    for load in wrong:
        assert http.put(f"{engine.control_url}/traffic", json=load).status_code == 400
    assert http.get(f"{engine.control_url}/traffic").json()["streams"] == 0


def test_users_leave_with_the_order_and_with_the_engine(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--background", "3", "--token-seconds", "0.5")
    eventually(lambda: engine.metric("num_requests_running") == 3)
    http.put(f"{engine.control_url}/traffic", json={"streams": 0}).raise_for_status()
    eventually(lambda: engine.metric("num_requests_running") == 0)
    http.put(f"{engine.control_url}/traffic", json={"streams": 1}).raise_for_status()
    eventually(lambda: engine.metric("num_requests_running") == 1)
    users = _children(engine.process.pid)
    engine.process.terminate()
    assert engine.exit_code() == 0
    assert not any(Path(f"/proc/{pid}/cmdline").exists() for pid in users)


def test_users_end_with_a_server_that_was_killed(start_engine: Callable[..., EngineProcess]) -> None:
    engine = start_engine("--background", "1", "--token-seconds", "0.5")
    eventually(lambda: engine.metric("num_requests_running") == 1)
    users = _children(engine.process.pid)
    engine.process.kill()
    engine.process.wait()
    eventually(lambda: all(_is_gone(pid) for pid in users))


def _is_gone(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
