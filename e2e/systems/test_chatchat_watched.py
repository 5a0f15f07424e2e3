"""`llm-watchdog run` and `check` beside Chatchat's API: the right class for each fault, and nothing in good load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.systems.chatchat import Chatchat, running
from e2e.systems.load import good_load
from e2e.systems.talking import End
from e2e.systems.upstream import MODEL, Behaviour, Upstream
from e2e.systems.watchdog import Watched, check

if TYPE_CHECKING:
    from e2e.systems.conftest import Beside, Start

pytestmark = [pytest.mark.systems, pytest.mark.large]


@pytest.fixture(scope="module")
def chatchat(start: Start[Chatchat], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Chatchat:
    return start(running(tmp_path_factory.mktemp("chatchat"), upstream))


@pytest.fixture(scope="module")
def watched(chatchat: Chatchat) -> Watched:
    return Watched(port=chatchat.port, engine="chatchat", options={"model": MODEL, "probe-cost": "Free"})


def test_errors_of_upstream_are_no_ground_for_a_restart(
    chatchat: Chatchat, upstream: Upstream, watched: Watched, beside: Beside
) -> None:
    watchdog, supervisor = beside(watched, chatchat.restart)
    upstream.behaviour = Behaviour.ERROR
    detected = watchdog.wait_detected()
    assert check(watched).code == 1
    upstream.behaviour = Behaviour.GOOD
    closed = watchdog.wait_closed()
    assert (detected["fault"], detected["reason"]) == ("EngineDead", "UpstreamFailed")
    assert (closed["outcome"], supervisor.restarts) == ("SelfHealed", 0)


def test_saturation_by_clients_that_have_left(
    chatchat: Chatchat, upstream: Upstream, watched: Watched, beside: Beside
) -> None:
    watchdog, _ = beside(watched, chatchat.restart)
    chatchat.saturate()
    detected = watchdog.wait_detected()
    assert check(watched).code == 1
    upstream.release()
    assert detected["fault"] == "EngineDead"
    assert watchdog.wait_closed()["outcome"] in {"SelfHealed", "Recovered"}


def test_good_load_raises_nothing(chatchat: Chatchat, watched: Watched, beside: Beside, load_seconds: float) -> None:
    assert check(watched).code == 0
    watchdog, supervisor = beside(watched, chatchat.restart)

    def whole() -> bool:
        reply = chatchat.chat("one two three four five six seven eight", seconds=60)
        return reply.end is End.WHOLE and reply.sse_objects()[-1]["choices"][0]["finish_reason"] == "stop"

    sent = good_load(whole, clients=4, seconds=load_seconds)
    print(f"{sent} streams")
    assert watchdog.is_ready()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)
