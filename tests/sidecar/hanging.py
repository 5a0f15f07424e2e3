"""An engine that hangs, as a watcher tells of it that needs neither an engine nor time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from llm_watchdog.api.reasons import FaultClass, UnknownReason, VerdictState
from llm_watchdog.clock import Clock
from llm_watchdog.core.baseline import Baseline
from llm_watchdog.core.cache_memory import CacheMemory
from llm_watchdog.core.findings import Verdict
from llm_watchdog.core.metering import Meter
from tests.sidecar.situations import finding

if TYPE_CHECKING:
    from llm_watchdog.api.policy import Policy
    from llm_watchdog.core.case import AbortOrder, FlushOrder
    from llm_watchdog.core.power import PowerOrder
    from llm_watchdog.core.situation import OrderAnswer


class HangingEngine(Protocol):
    """`run` counts its starts; `hung_at` is on the clock of `Clock.monotonic`."""

    @property
    def run(self) -> int: ...

    @property
    def hung_at(self) -> float | None: ...


class Watcher:
    """Says what the engine is like, a moment after it began to look."""

    def __init__(self, engine: HangingEngine) -> None:
        self.changed = asyncio.Event()
        self.engine = engine
        self.window = self
        self.refused_at: float | None = None
        self.baseline = Baseline()
        self.cache = CacheMemory()
        self.meter = Meter()
        self._began = Clock.monotonic()

    @property
    def listener(self) -> int:
        return self.engine.run

    def verdict(self, now: float) -> Verdict:
        if now - self._began < 0.05:
            return Verdict(state=VerdictState.UNKNOWN, at=now, message="", unknown=UnknownReason.STARTING)
        hung_at = self.engine.hung_at
        if hung_at is not None:
            state = VerdictState.FAULTY if now - hung_at > 0.1 else VerdictState.SUSPECT
            found = finding(since=hung_at, state=state)
            return Verdict(state=state, at=now, message="", findings=(found,))
        return Verdict(
            state=VerdictState.HEALTHY, at=now, message="", last_healthy_at=now, last_canary_passed_at=now - 0.001
        )

    def heeded(self, now: float, ignored: frozenset[FaultClass]) -> Verdict:
        assert FaultClass.STALLED_STREAM in ignored
        return Verdict(
            state=VerdictState.HEALTHY, at=now, message="", last_healthy_at=now, last_canary_passed_at=now - 0.001
        )

    def confirm(self) -> None: ...

    def unchecked(self, _now: float) -> str:
        return ""

    says_asleep: bool | None = None

    def note_power(self, *, asleep: bool, ours: bool) -> None: ...

    def note_rotation(self, *, in_rotation: bool) -> None: ...

    def note_exit(self, reason: str) -> None: ...

    def note_reference(self, text: str) -> None: ...

    def use(self, policy: Policy) -> None: ...

    def in_flight(self, _now: float) -> int:
        return 0

    def moving(self, _now: float) -> bool:
        return False


class Never:
    """Neither flush nor power is possible, and there is nothing to abort."""

    possible = False
    abortable = 0

    def carry_out(self, order: AbortOrder | FlushOrder | PowerOrder) -> None:
        raise AssertionError(order)

    def answer(self, order: AbortOrder | FlushOrder | PowerOrder) -> OrderAnswer:
        raise AssertionError(order)
