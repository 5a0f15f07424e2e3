"""For all tests: no event loop but the one that a test runs in; and which of them are no unit tests."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

HERE: Final = Path(__file__).parent
PROCESSES: Final = (
    "fault_engine",
    "sidecar/cli",
    "sidecar/test_checks_on_sockets.py",
    "sidecar/test_run.py",
    "sidecar/test_supervisor.py",
)
"""They start programs and wait for what these do in real time, so they need a machine that has some to spare."""
SIMULATED: Final = (
    "sidecar/detectors",
    "sidecar/engines",
    "sidecar/test_check_plan.py",
    "sidecar/test_checked_output.py",
    "sidecar/test_checks.py",
    "sidecar/test_false_alarms.py",
    "sidecar/test_framing.py",
    "sidecar/test_looking_properties.py",
    "sidecar/test_lulls.py",
)
"""Simulated hours and fuzzed parsers: minutes, where the rest of the unit tests takes seconds; beside anything."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a file's tests share one process, and what it has started for them; of a group of its own
    is what takes long, and begins first.
    """
    items.sort(key=lambda item: not item.get_closest_marker("xdist_group"))
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
        for parts, mark in ((PROCESSES, pytest.mark.processes), (SIMULATED, pytest.mark.thorough)):
            if any(item.path.is_relative_to(HERE / part) for part in parts):
                item.add_marker(mark)


def pytest_configure() -> None:
    # Examples take as long as they take: a busy machine fails no test.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    # Plugins ask for "the current loop" around plain tests too. Python 3.11 would make one for them that nobody closes,
    # and its ResourceWarning would fail whichever test is running when it is collected.
    asyncio.set_event_loop(None)
