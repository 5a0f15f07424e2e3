"""For all tests: no event loop but the one that a test runs in."""

import asyncio


def pytest_configure() -> None:
    # Plugins ask for "the current loop" around plain tests too. Python 3.11 would make one for them that nobody closes,
    # and its ResourceWarning would fail whichever test is running when it is collected.
    asyncio.set_event_loop(None)
