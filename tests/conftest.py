"""For all tests: no event loop but the one that a test runs in; and which of them are for `make thorough`."""

import asyncio
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

HERE: Final = Path(__file__).parent
THOROUGH: Final = (
    "fault_engine",
    "sidecar/cli",
    "sidecar/detectors",
    "sidecar/engines",
    "sidecar/test_check_plan.py",
    "sidecar/test_checked_output.py",
    "sidecar/test_checks.py",
    "sidecar/test_checks_on_sockets.py",
    "sidecar/test_framing.py",
    "sidecar/test_run.py",
)
"""Processes, simulated hours and fuzzed parsers: minutes, where the rest of the unit tests takes seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(HERE / part) for part in THOROUGH):
            item.add_marker(pytest.mark.thorough)


def pytest_configure() -> None:
    # Examples take as long as they take: a busy machine fails no test.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")
    # Plugins ask for "the current loop" around plain tests too. Python 3.11 would make one for them that nobody closes,
    # and its ResourceWarning would fail whichever test is running when it is collected.
    asyncio.set_event_loop(None)
