"""The API server process: reads the command line, starts the EngineCore, serves, and ends as vLLM ends."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from .access_log import write_event
from .app import App
from .control import serve_control
from .core_client import CoreClient
from .engine_core import name_process
from .fault_board import FaultBoard
from .metrics import EngineMetrics
from .service import Service
from .settings import Settings, read_settings

_GRACE_SECONDS: Final = 2  # for connections whose client does not read
_BACKLOG: Final = 2048  # connections not yet accepted; uvicorn's own default
_LINGER_SECONDS: Final = 1.0  # vLLM's process is still there about so long after its engine's death


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would raise them again at the end, and the exit code would not be 0."""
        yield


async def _run(settings: Settings) -> int:
    board = FaultBoard()
    for name, argument in settings.faults:
        board.order(name, argument)
    if settings.control_port is not None:
        write_event("control", port=serve_control(board, settings.host, settings.control_port))
    metrics = EngineMetrics(settings.model)
    core = CoreClient(settings.limits, metrics)
    loop = asyncio.get_running_loop()
    await core.start()
    _spread_orders(board, core, loop)
    loading = asyncio.ensure_future(core.loaded())
    loop.add_signal_handler(signal.SIGTERM, loading.cancel)
    await asyncio.wait({loading})
    if loading.cancelled() or core.dead:
        await core.stop()
        return 0 if loading.cancelled() else 1
    await _serve(Service(settings, core, metrics, board), loop)
    return 0


def _spread_orders(board: FaultBoard, core: CoreClient, loop: asyncio.AbstractEventLoop) -> None:
    """What the control port orders takes effect in this loop, and in the EngineCore."""

    def apply() -> None:
        core.order_faults(board.orders)
        board.stand_still()

    def changed() -> None:
        loop.call_soon_threadsafe(apply)

    board.on_change = changed
    core.order_faults(board.orders)


async def _serve(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    config = uvicorn.Config(
        App(service),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = _Server(config)

    def terminate() -> None:
        service.stopping = True
        service.core.abort_requests(None)
        server.should_exit = True

    def mourn() -> None:
        keep_alive = service.settings.keep_alive_on_engine_death or service.board.active.outlive_core()
        server.should_exit = server.should_exit or not keep_alive

    service.core.on_death = mourn
    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGINT, terminate)
    listener = _listen(service.settings)
    write_event("serving", port=listener.getsockname()[1], pid=os.getpid(), engine_core=service.core.pid)
    service.board.stand_still()
    await server.serve(sockets=[listener])
    if not service.stopping:
        await asyncio.sleep(_LINGER_SECONDS)
    await service.core.stop()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is named because asyncio switches Nagle's delay off only on sockets that say that they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(_BACKLOG)
    return listener


def main() -> None:
    settings = read_settings(sys.argv[1:], os.environ)
    name_process("vllm")
    sys.exit(asyncio.run(_run(settings)))


if __name__ == "__main__":
    main()
