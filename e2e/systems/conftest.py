"""The systems, started once for each file of tests, and how long the good loads are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeVar

import pytest

from e2e.fixtures import shown

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


@pytest.fixture(scope="session")
def load_seconds(pytestconfig: pytest.Config) -> float:
    seconds: float = pytestconfig.getoption("--load-seconds")
    return seconds


@pytest.fixture(scope="session")
def good_rounds(pytestconfig: pytest.Config) -> int:
    rounds: int = pytestconfig.getoption("--good-rounds")
    return rounds
