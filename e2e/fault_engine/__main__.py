"""The API server process: reads the command line, starts the EngineCore, serves, and ends as vLLM ends."""

import asyncio
import logging
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
from .assembly import apply_orders, make_service
from .background import Background
from .control import serve_control
from .dialects import DIALECTS
from .engine_core import name_process
from .fault_board import FaultBoard
from .service import Service
from .settings import Settings, read_settings
from .states import follow_state

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
    for asked in settings.faults:
        board.order(asked.name, asked.argument, asked.incidence)
    users = Background(settings)
    if settings.control_port is not None:
        write_event("control", port=serve_control(board, users, settings.host, settings.control_port))
    service = make_service(settings, board)
    loop = asyncio.get_running_loop()
    await service.core.start()
    _spread_orders(service, loop)
    loading = asyncio.ensure_future(service.core.loaded())
    loop.add_signal_handler(signal.SIGTERM, loading.cancel)
    if not DIALECTS[settings.dialect].shows_loading:
        await asyncio.wait({loading})
        if loading.cancelled() or service.core.dead:
            await service.core.stop()
            return 0 if loading.cancelled() else 1
    await _serve(service, users, loop)
    return 0


def _spread_orders(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """What the control port orders takes effect in this loop, and in the EngineCore."""
    board = service.board

    def apply() -> None:
        apply_orders(service)
        board.stand_still()

    def changed() -> None:
        loop.call_soon_threadsafe(apply)

    board.on_change = changed
    service.core.order_faults(board.orders)


async def _serve(service: Service, users: Background, loop: asyncio.AbstractEventLoop) -> None:
    config = uvicorn.Config(
        App(service, DIALECTS[service.settings.dialect]),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut_body)
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
    port = listener.getsockname()[1]
    write_event("serving", port=port, pid=os.getpid(), engine_core=service.core.pid)
    await follow_state(service)
    service.board.stand_still()
    users.begin(port)
    await server.serve(sockets=[listener])
    users.end()
    if not service.stopping:
        await asyncio.sleep(_LINGER_SECONDS)
    await service.core.stop()


def _is_no_cut_body(record: logging.LogRecord) -> bool:
    """uvicorn's word for a body that was cut on purpose."""
    return not record.getMessage().startswith("ASGI callable returned without completing response")


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
