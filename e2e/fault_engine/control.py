"""The control port, which no engine has.

GET /faults, PUT /faults {"name": ..., "arg": ..., "incidence": ...}, DELETE /faults[/name]; GET and PUT /traffic.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from threading import Thread
from typing import Any

from .background import Background
from .fault_board import FaultBoard
from .faults import FAULTS, UnknownFaultError
from .faults.active import Order
from .traffic_load import TrafficLoad


def serve_control(board: FaultBoard, users: Background, host: str, port: int) -> int:
    """In a thread of its own, so that a frozen API server can be thawed; returns the port."""

    class Handler(_ControlHandler):
        faults = board
        background = users

    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else AF_INET

    server = Server((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server.server_port


class _ControlHandler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    faults: FaultBoard
    background: Background

    def do_GET(self) -> None:
        if self.path == "/faults":
            self._reply(200, self._document())
        elif self.path == "/traffic":
            self._reply(200, self.background.load.as_json())
        else:
            self._reply(404, {"error": "only /faults and /traffic are here"})

    def do_PUT(self) -> None:
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            if self.path == "/traffic":
                self.background.change(TrafficLoad.from_json(asked))
            else:
                self._order(asked)
        except UnknownFaultError as error:
            self._reply(400, {"error": str(error)})
        except (ValueError, KeyError, AttributeError, TypeError):
            self._reply(400, {"error": 'a JSON object is needed: {"name": "slow", "arg": 0.5} or {"streams": 4}'})
        else:
            self.do_GET()

    def _order(self, asked: dict[str, Any]) -> None:
        argument, incidence = asked.get("arg"), asked.get("incidence")
        share = None if incidence is None else float(incidence)
        self.faults.order(asked["name"], None if argument is None else str(argument), share)

    def do_DELETE(self) -> None:
        name = self.path.removeprefix("/faults").removeprefix("/") or None
        self.faults.lift(name)
        self._reply(200, self._document())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Silent: the access log is about the engine."""

    def _document(self) -> dict[str, Any]:
        return {
            "active": [_ordered(order) for order in self.faults.orders],
            "known": [entry.as_json() for entry in FAULTS.values()],
        }

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _ordered(order: Order) -> dict[str, Any]:
    incidence = {} if order.incidence is None else {"incidence": order.incidence}
    return {"name": order.name, "arg": order.argument} | incidence
