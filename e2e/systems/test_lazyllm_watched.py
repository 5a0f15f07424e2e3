"""`llm-watchdog run` and `check` beside LazyLLM: cross-talk is found, and nothing where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.systems.lazyllm import PATH, TEXT_FIELD, LazyLlm, Mode, running
from e2e.systems.load import good_load
from e2e.systems.talking import wait_for
from e2e.systems.watchdog import Watchdog, Watched, check

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.systems.conftest import Beside, Start
    from e2e.systems.upstream import Upstream

pytestmark = pytest.mark.systems

SECONDS_A_ROUND = 30
"""A bound; one takes a few seconds."""


@pytest.fixture(scope="module")
def bug(start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> LazyLlm:
    return start(running(tmp_path_factory.mktemp("bug"), upstream, Mode.BUG))


@pytest.fixture(scope="module")
def helper(start: Start[LazyLlm], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> LazyLlm:
    return start(running(tmp_path_factory.mktemp("helper"), upstream, Mode.HELPER))


def watched(system: LazyLlm, interval: str = "60s") -> Watched:
    options = {"path": PATH, "text-field": TEXT_FIELD, "probe-cost": "Free"}
    checks = {"crossTalk": "Enabled", "interval": interval}
    return Watched(port=system.port, engine="lazyllm", options=options, policy={"checks": checks})


def test_streams_that_rob_each_other_never_enter_rotation(bug: LazyLlm, tmp_path: Path) -> None:
    with Watchdog(watched(bug), tmp_path) as watchdog:
        assert watchdog.wait_detected()["fault"] == "CrossTalk"
        assert not watchdog.is_ready()
        watchdog.wait_closed()
        assert watchdog.faults() == {"CrossTalk"}
        assert not watchdog.is_ready()
    assert check(watched(bug)).code == 1


def test_clean_streams_raise_nothing_round_after_round(helper: LazyLlm, beside: Beside, good_rounds: int) -> None:
    watchdog, supervisor = beside(watched(helper, interval="1s"), helper.restart)
    wait_for("the rounds", lambda: watchdog.rounds("CrossTalk") >= good_rounds, SECONDS_A_ROUND * good_rounds)
    assert watchdog.is_ready()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)


def test_good_load_raises_nothing(helper: LazyLlm, beside: Beside, load_seconds: float) -> None:
    assert check(watched(helper)).code == 0
    watchdog, supervisor = beside(watched(helper), helper.restart)
    sent = good_load(lambda: helper.say().whole, clients=2, seconds=load_seconds)
    print(f"{sent} streams")
    assert watchdog.is_ready()
    assert (watchdog.lines(), supervisor.restarts) == ([], 0)
