"""Prints what became of each case as it ends, and all of them as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest
    from _pytest.terminal import TerminalReporter

COLUMNS: Final = ("case", "expected", "found", "seconds", "closed", "outcome")


class Table:
    """Where the reports of all workers come together."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rows: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = dict(report.user_properties)
        if report.when == "call" and "case" in facts:
            cells = [str(facts.get(column, "")) for column in COLUMNS]
            self._rows.append(f"| {' | '.join([*cells, report.outcome])} |")
            reporter: TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
            if reporter is not None:
                reporter.write_line(self._rows[-1])
                if report.failed:
                    reporter.write_line(report.longreprtext)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Seconds are those from the fault to the first line, and to the end of the last incident."""
        if self._rows:
            terminalreporter.section("faults")
            terminalreporter.write_line(f"| {' | '.join([*COLUMNS, 'result'])} |")
            terminalreporter.write_line("|" + "---|" * (len(COLUMNS) + 1))
            for row in sorted(self._rows):
                terminalreporter.write_line(row)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(config), "fault-table")
