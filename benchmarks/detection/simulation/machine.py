"""The container with the model server: it loads, serves, dies, and the kubelet starts it again.

A new process knows of no fault that was ordered before: a restart is the cure, as it was in the reports.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from benchmarks.detection.simulation.core import start_in_loop
from benchmarks.detection.simulation.network import Network
from e2e.fault_engine.app import App
from e2e.fault_engine.assembly import apply_orders, make_service
from e2e.fault_engine.dialects import DIALECTS
from e2e.fault_engine.fault_board import FaultBoard
from e2e.fault_engine.settings import FaultAsked

if TYPE_CHECKING:
    from e2e.fault_engine.exchange import Receive, Send
    from e2e.fault_engine.service import Service
    from e2e.fault_engine.settings import Settings

EXIT_SECONDS: Final = 1.0
"""From the engine's death to that of its server; vLLM lingers about so long."""
KUBELET_SECONDS: Final = 1.0
"""From the end of a container to its next start, without back-off."""
KILL_SECONDS: Final = 2.0
"""From the order to restart to the end of the process: it is drained already, or hangs and is killed."""


class Machine:
    """A `Listener`."""

    def __init__(self, settings: Settings, startup_seconds: float) -> None:
        self.inode = 0
        self.awake = asyncio.Event()
        self.network = Network(self)
        self.board = FaultBoard()
        self.starts = 0
        self.running = False
        self.woken_at: float | None = None
        """When somebody woke it."""
        self._settings = replace(settings, limits=replace(settings.limits, startup_seconds=startup_seconds))
        self._inodes = count(1000)
        self._service: Service | None = None
        self._app: App | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._spawn(self._live())

    def restart(self) -> None:
        """By somebody's order."""
        self._spawn(self._again(KILL_SECONDS))

    def load_again(self, name: str, argument: str | None) -> None:
        """Somebody else restarts it, and with this fault it loads for long."""
        self._spawn(self._again(KILL_SECONDS, FaultAsked(name, argument)))

    def order(self, name: str, argument: str | None, incidence: float | None = None) -> None:
        self.board.order(name, argument, incidence)

    async def serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert self._app is not None
        await self._app(scope, receive, send)

    async def stop(self) -> None:
        """Nothing of it goes on."""
        for task in self._tasks:
            task.cancel()
        await self.network.break_all()

    async def _live(self, fault: FaultAsked | None = None) -> None:
        self.starts += 1
        self.running = True
        self.board = FaultBoard()
        if fault is not None:
            self.board.order(fault.name, fault.argument)
        service = make_service(self._settings, self.board, start_in_loop)
        self._service, self._app = service, App(service, DIALECTS[self._settings.dialect])
        self.awake.set()
        await service.core.start()
        service.core.order_faults(self.board.orders)
        self.board.on_change = lambda: self._apply(service)
        service.core.on_death = lambda: self._mourn(service)
        if not DIALECTS[self._settings.dialect].shows_loading:
            await service.core.loaded()
        if service is self._service:
            self.inode = next(self._inodes)

    def _apply(self, service: Service) -> None:
        apply_orders(service)
        if self.board.active.freeze_server():
            self.awake.clear()
        else:
            self.awake.set()

    def _mourn(self, service: Service) -> None:
        keeps = self._settings.keep_alive_on_engine_death or self.board.active.outlive_core()
        if service is self._service and not keeps:
            self._spawn(self._again(EXIT_SECONDS))

    async def _again(self, after: float, fault: FaultAsked | None = None) -> None:
        ending, self._service = self._service, None
        if ending is None:
            return  # it is on its way already
        await asyncio.sleep(after)
        self.inode, self.running = 0, False
        await self.network.break_all()
        await ending.core.stop()
        await asyncio.sleep(KUBELET_SECONDS)
        await self._live(fault)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
