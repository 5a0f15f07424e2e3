"""A fake model server for the gateways: echoes the user's words one by one, or misbehaves as it is told.

A behaviour is chosen by a word in the user's message (`fault:stall`), so that good and bad requests can run side by
side, or for all requests at once. Nothing here is judged: it is the cause, and the system in front of it is the test.
"""

from __future__ import annotations

import http.server
import json
import re
import select
import threading
import time
from contextlib import contextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from e2e.systems.programs import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL: Final = "echo"
WORD_SECONDS: Final = 0.02
STEP_SECONDS: Final = 30
"""For an answer that another one is to be in step with."""
ASKED: Final = re.compile(r"fault:([a-z-]+)")


class Behaviour(StrEnum):
    GOOD = "good"
    STALL = "stall"
    """One chunk, `1`, then silence with the connection open."""
    CUT = "cut"
    """One chunk, then the connection is closed inside the body."""
    NO_END = "no-end"
    """All words, then a clean end of the body without a finish reason and without `[DONE]`."""
    ERROR = "error"
    """500 with a JSON error."""
    ERROR_PAGE = "error-page"
    """500 with an HTML page, as a proxy in front of a model sends it."""


class Upstream:
    """Serves in threads of this process, from `with` to its end."""

    def __init__(self, word_seconds: float = WORD_SECONDS) -> None:
        self.word_seconds = word_seconds
        self.behaviour = Behaviour.GOOD
        self.in_step = threading.Barrier(1)
        """Of so many answers the first words come at the same time, then the second ones, and so on."""
        self.requests: list[str] = []
        """The user's message of each request."""
        self.stalled = 0
        """How many requests are held right now."""
        self.busy = 0
        """How many are being answered right now, held ones too."""
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/v1"

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
        try:
            yield
        finally:
            with self._lock:
                setattr(self, name, getattr(self, name) - 1)

    def release(self) -> None:
        """Let the requests that are held go on: a stalled one ends as a good one."""
        self.released.set()
        while self.stalled:
            time.sleep(0.01)
        self.released.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: Upstream) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.upstream = upstream

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no news here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        upstream = self.server.upstream
        with upstream.counted("busy"):
            self._serve()

    def _serve(self) -> None:
        upstream = self.server.upstream
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = _last_message(body)
        upstream.requests.append(text)
        asked = ASKED.search(text)
        behaviour = Behaviour(asked[1]) if asked else upstream.behaviour
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        words = re.findall(r"\S+\s*", text)
        finish = "length" if limit and len(words) > limit else "stop"
        words = words[:limit]
        if behaviour in {Behaviour.ERROR, Behaviour.ERROR_PAGE}:
            self._fail(behaviour)
        elif body.get("stream"):
            self._stream(words, finish, behaviour)
        else:
            self._whole(words, finish, behaviour)

    def _fail(self, behaviour: Behaviour) -> None:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        if behaviour is Behaviour.ERROR_PAGE:
            self._send(b"<html><head><title>500</title></head><body>out of order</body></html>", "text/html", status)
        else:
            error = {"message": "the model is out of order", "type": "server_error", "code": status}
            self._answer({"error": error}, status)

    def _whole(self, words: list[str], finish: str, behaviour: Behaviour) -> None:
        if behaviour is Behaviour.STALL and not self._hold():
            return
        time.sleep(self.server.upstream.word_seconds * len(words))
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        usage = {"prompt_tokens": 1, "completion_tokens": len(words), "total_tokens": 1 + len(words)}
        self._answer({**_head("chat.completion"), "choices": [choice], "usage": usage})

    def _stream(self, words: list[str], finish: str, behaviour: Behaviour) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for word in self._words(words, behaviour):
            self._event(_delta({"content": word}, None))
        if behaviour is Behaviour.CUT:
            self.close_connection = True
            return
        if behaviour is not Behaviour.NO_END:
            self._event(_delta({}, finish))
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _words(self, words: list[str], behaviour: Behaviour) -> Iterator[str]:
        if behaviour in {Behaviour.STALL, Behaviour.CUT}:
            yield "1"
        if behaviour is Behaviour.CUT:
            return
        if behaviour is Behaviour.STALL and not self._hold():
            raise ConnectionResetError
        upstream = self.server.upstream
        in_step = upstream.in_step
        for word in words:
            time.sleep(upstream.word_seconds)
            in_step.wait(STEP_SECONDS)
            yield word

    def _hold(self) -> bool:
        """Until released (True) or the client has gone."""
        upstream = self.server.upstream
        with upstream.counted("stalled"):
            while not upstream.released.wait(0.05):
                if select.select([self.connection], [], [], 0)[0]:  # nothing more is to come but its end
                    self.close_connection = True
                    return False
        return True

    def _event(self, document: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(document).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _answer(self, document: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(document).encode(), "application/json", status)

    def _send(self, body: bytes, content_type: str, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _last_message(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": MODEL}


def _delta(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {**_head("chat.completion.chunk"), "choices": [choice]}
