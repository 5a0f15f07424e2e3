"""The names on the metrics page: alerts and dashboards hold on to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from llm_watchdog.core.replica import Replica
from llm_watchdog.history import History
from llm_watchdog.journal import Journal
from llm_watchdog.metrics import WatchdogCollector, exposition
from llm_watchdog.probes.tally import Tally
from tests.sidecar.situations import ordered, serving

if TYPE_CHECKING:
    from llm_watchdog.core.findings import Verdict
    from llm_watchdog.core.replica import Pass
    from tests.sidecar.situations import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "watchdog.md"


class StubLoop:
    def __init__(self, world: World) -> None:
        self.verdict: Verdict = world.verdict
        self.last: Pass | None = world.last
        self.replica: Replica = world.replica
        self.acknowledged: dict[str, int] = {}
        self.own_errors = 0
        self.lag_seconds = 0.0


def page(world: World, directory: Path, history: History) -> dict[str, dict[tuple[str, ...], float]]:
    collector = WatchdogCollector(StubLoop(world), Tally(), Journal(directory), history)  # type: ignore[arg-type]
    families = text_string_to_metric_families(exposition(collector).decode())
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def test_the_documented_names_are_there_and_no_others(tmp_path: Path) -> None:
    section = DOCUMENT.read_text().split("## Metrics\n")[1]
    documented = {name.removesuffix("_total") for name in re.findall(r"`(llm_watchdog_\w+)", section)}
    assert page(serving(), tmp_path, History(Replica())).keys() == documented


def test_what_happened_is_counted_once(tmp_path: Path) -> None:
    history = History(Replica())
    world = serving().sick()
    history.note(world.replica)
    history.note(world.replica)
    world.grant().claimed().healthy()
    history.note(world.replica)
    history.note(Replica())
    shown = page(world, tmp_path, history)
    assert shown["llm_watchdog_incidents"] == {("StalledStream",): 1.0}
    assert shown["llm_watchdog_steps"][("Succeeded", "Drain")] == 1.0


def test_what_an_earlier_process_opened_is_not_counted_again(tmp_path: Path) -> None:
    world = ordered()
    history = History(world.replica)
    history.note(world.replica)
    assert page(world, tmp_path, history)["llm_watchdog_incidents"] == {}
    assert page(world, tmp_path, history)["llm_watchdog_incidents_unacknowledged"] == {(): 1.0}
