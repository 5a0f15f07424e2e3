"""The control port: GET /faults, PUT /faults {"name": ..., "arg": ...}, DELETE /faults[/name]. No engine has it."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from .fault_board import FaultBoard
from .faults import KINDS, UnknownFaultError


def serve_control(board: FaultBoard, host: str, port: int) -> int:
    """In a thread of its own, so that a frozen API server can be thawed; returns the port."""

    class Handler(_ControlHandler):
        faults = board

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server.server_port


class _ControlHandler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    faults: FaultBoard

    def do_GET(self) -> None:
        if self.path == "/faults":
            self._reply(200, self._document())
        else:
            self._reply(404, {"error": "only /faults is here"})

    def do_PUT(self) -> None:
        try:
            order = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            argument = order.get("arg")
            self.faults.order(order["name"], None if argument is None else str(argument))
        except UnknownFaultError as error:
            self._reply(400, {"error": str(error)})
        except (ValueError, KeyError, AttributeError):
            self._reply(400, {"error": 'a JSON object is needed: {"name": "slow", "arg": 0.5}'})
        else:
            self._reply(200, self._document())

    def do_DELETE(self) -> None:
        name = self.path.removeprefix("/faults").removeprefix("/") or None
        self.faults.lift(name)
        self._reply(200, self._document())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Silent: the access log is about the engine."""

    def _document(self) -> dict[str, Any]:
        return {
            "active": [{"name": order.name, "arg": order.argument} for order in self.faults.orders],
            "known": [
                {"name": kind.name, "argument": kind.argument, "does": kind.does, "rows": kind.rows}
                for kind in KINDS.values()
            ],
        }

    def _reply(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
