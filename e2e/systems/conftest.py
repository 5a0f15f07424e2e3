"""The systems, started once for each file of tests, and how long the good loads are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, TypeVar

import pytest

from e2e.fixtures import shown
from e2e.systems.upstream import Upstream
from e2e.systems.watchdog import Supervisor, Watchdog, Watched

if TYPE_CHECKING:
    from pathlib import Path

Beside = Callable[[Watched, Callable[[], None]], tuple[Watchdog, Supervisor]]
System = TypeVar("System")
Start = Callable[[AbstractContextManager[System]], System]


@pytest.fixture(scope="module")
def start(pytestconfig: pytest.Config) -> Iterator[Start[System]]:
    """`start(running(...))`: the system, until the file's last test; the progress of an install or a start is shown."""
    with ExitStack() as stack:

        def enter(system: AbstractContextManager[System]) -> System:
            with shown(pytestconfig):
                return stack.enter_context(system)

        yield enter


@pytest.fixture(scope="module")
def upstream(start: Start[Upstream]) -> Upstream:
    """The model server behind a gateway: made up, and it fails on demand."""
    return start(Upstream())


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    """`beside(watched, restart)`: a watchdog that has put the system into rotation, and what its command restarts."""
    with ExitStack() as stack:

        def enter(watched: Watched, restart: Callable[[], None]) -> tuple[Watchdog, Supervisor]:
            supervisor = stack.enter_context(Supervisor(restart))
            watchdog = stack.enter_context(Watchdog(watched, tmp_path, supervisor))
            watchdog.wait_ready()
            return watchdog, supervisor

        yield enter


@pytest.fixture(scope="session")
def load_seconds(pytestconfig: pytest.Config) -> float:
    seconds: float = pytestconfig.getoption("--load-seconds")
    return seconds


@pytest.fixture(scope="session")
def good_rounds(pytestconfig: pytest.Config) -> int:
    rounds: int = pytestconfig.getoption("--good-rounds")
    return rounds
