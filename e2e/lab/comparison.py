"""What a fault cost with the project and what it cost a plain Deployment: one row per case, a table per test run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.lab.timeline import Timeline
from e2e.lab.traffic import failed

if TYPE_CHECKING:
    import pytest
    from _pytest.terminal import TerminalReporter

PROPERTY: Final = "comparison"
SIDES: Final = ("ours", "plain")
MEASURES: Final = ("out of rotation", "restarted", "recovered", "failed requests")
COLUMNS: Final = ("case", *(f"{side}: {measure}" for side in SIDES for measure in MEASURES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two. `watched` is how many seconds after the fault it was looked at."""

    times: Timeline
    watched: float
    reports: list[dict[str, Any]] | None = None
    """Of its users; None: it had none."""

    def cells(self) -> list[str]:
        """What did not happen is told with how long it was waited for."""
        instants = (self.times.out_of_rotation, self.times.restarted, self.times.recovered)
        cells = [f"{t:.1f} s" if t is not None else f"not in {self.watched:.0f} s" for t in instants]
        return [*cells, "" if self.reports is None else f"{failed(self.reports)} of {len(self.reports)}"]


def row(case: str, ours: Side, plain: Side) -> list[str]:
    """As many cells as there are columns."""
    return [case, *ours.cells(), *plain.cells()]


def markdown(rows: list[list[str]]) -> list[str]:
    """The lines of a table, by case."""
    return [f"| {' | '.join(cells)} |" for cells in (list(COLUMNS), ["---"] * len(COLUMNS), *sorted(rows))]


class Table:
    """Where the reports of all test processes come together."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Test processes send what a test recorded with its report."""
        if report.when == "call":
            recorded = [value for name, value in report.user_properties if name == PROPERTY]
            self._rows += [list(cells) for cells in recorded if isinstance(cells, list | tuple)]

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Also where all passed, which is when the rest of the output is thrown away."""
        if self._rows:
            terminalreporter.section("seconds after the fault, ours and a plain Deployment")
            for line in markdown(self._rows):
                terminalreporter.write_line(line)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(), "comparison-table")
