"""A generation in each dialect over a plain socket, and what came of it, byte for byte."""

import contextlib
import json
import socket
from dataclasses import dataclass, field
from typing import Any

from tests.fault_engine.process import DEADLINE_SECONDS, EngineProcess

PROMPT = "Repeat exactly: the green captain waits"
ANSWER = "the green captain waits"


@dataclass(frozen=True)
class Way:
    """How a dialect is asked for a stream."""

    path: str
    body: dict[str, Any]
    framing: str  # sse, lines or nul


def ways(dialect: str, prompt: str = PROMPT, max_tokens: int = 32, **more: Any) -> list[Way]:
    completion = {"model": "tiny", "prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stream": True} | more
    message = [{"role": "user", "content": prompt}]
    chat = {"model": "tiny", "messages": message, "max_tokens": max_tokens, "temperature": 0, "stream": True} | more
    openai = [Way("/v1/completions", completion, "sse"), Way("/v1/chat/completions", chat, "sse")]
    worker = {"model": "tiny", "prompt": prompt, "max_new_tokens": max_tokens, "temperature": 0, "echo": False} | more
    options = {"num_predict": max_tokens, "temperature": 0}
    native = {
        "vllm": [],
        "openai": [],
        "sglang": [
            Way(
                "/generate",
                {"text": prompt, "stream": True}
                | {"sampling_params": {"max_new_tokens": max_tokens, "temperature": 0}}
                | more,
                "sse",
            )
        ],
        "llamacpp": [
            Way(
                "/completion",
                {"prompt": prompt, "n_predict": max_tokens, "temperature": 0, "stream": True} | more,
                "sse",
            )
        ],
        "tgi": [
            Way("/generate_stream", {"inputs": prompt, "parameters": {"max_new_tokens": max_tokens}} | more, "sse")
        ],
        "ollama": [
            Way("/api/generate", {"model": "tiny", "prompt": prompt, "options": options} | more, "lines"),
            Way("/api/chat", {"model": "tiny", "messages": message, "options": options} | more, "lines"),
        ],
    }
    only = {
        "fastchat": [Way("/worker_generate_stream", worker, "nul"), Way("/v1/chat/completions", chat, "sse")],
        "dbgpt": [Way("/api/worker/generate_stream", worker, "nul"), Way("/api/v1/chat/completions", chat, "sse")],
        "lazyllm": [Way("/chat", {"query": prompt, "max_tokens": max_tokens} | more, "sse")],
        "chatchat": [Way("/v1/chat/completions", chat, "sse"), Way("/chat/chat/completions", chat, "sse")],
    }
    return only.get(dialect) or [*native[dialect], *openai]


@dataclass
class Reply:
    """What came until the body ended, the connection was closed, or `silence` seconds passed without a byte."""

    raw: bytes = b""
    end: str = "open"  # whole, cut or open
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def events(self, framing: str) -> list[str]:
        separator = {"sse": b"\n\n", "lines": b"\n", "nul": b"\0"}[framing]
        body = self.body.replace(b"\r\n", b"\n")  # sse-starlette's line ends
        parts = [part for part in body.split(separator) if part.strip()]
        return [part.decode().removeprefix("data: ") for part in parts]

    def documents(self, framing: str) -> list[Any]:
        return [json.loads(event) for event in self.events(framing) if event != "[DONE]" and event[0] in '{["n']

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One request on a connection of its own."""

    def __init__(self, engine: EngineProcess, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        self.reply = Reply()
        self._socket = socket.create_connection(("127.0.0.1", int(engine.url.rpartition(":")[2])), DEADLINE_SECONDS)
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    def read(self, *, silence: float = DEADLINE_SECONDS, enough: int | None = None) -> Reply:
        """Until the end, a silence, or enough bytes of the body."""
        reply = self.reply
        if reply.end != "open":  # a short answer may have come as one piece
            return reply
        self._socket.settimeout(silence)
        while reply.end == "open" and (enough is None or len(reply.body) < enough):
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                break
            except ConnectionResetError:
                data = b""
            reply.raw += data
            reply.end = _parse(reply) or ("open" if data else "cut")
        if reply.end != "open":
            self.close()
        return reply

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _parse(reply: Reply) -> str | None:
    head, found, body = reply.raw.partition(b"\r\n\r\n")
    if not found:
        return None
    status, *lines = head.decode().split("\r\n")
    reply.status = int(status.split()[1])
    reply.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if "content-length" in reply.headers:
        reply.body = body
        return "whole" if len(body) >= int(reply.headers["content-length"]) else None
    reply.body = b""
    while True:
        size, found, rest = body.partition(b"\r\n")
        if not found or len(rest) < int(size, 16) + 2:
            return None
        length = int(size, 16)
        if length == 0:
            return "whole"
        reply.body += rest[:length]
        body = rest[length + 2 :]


def ask(engine: EngineProcess, way: Way, *, silence: float = DEADLINE_SECONDS) -> Reply:
    connection = Connection(engine, "POST", way.path, way.body)
    try:
        return connection.read(silence=silence)
    finally:
        connection.close()


def get(
    engine: EngineProcess, path: str, *, method: str = "GET", silence: float = DEADLINE_SECONDS, **body: Any
) -> Reply:
    connection = Connection(engine, method, path, body if method == "POST" else None)
    try:
        return connection.read(silence=silence)
    finally:
        connection.close()


def text_of(dialect: str, way: Way, reply: Reply) -> str:
    """What was said, whatever the dialect calls it."""
    said = [_said(document) for document in reply.documents(way.framing) if isinstance(document, dict)]
    cumulative = way.path == "/generate" or (way.framing == "nul")
    return (max(said, key=len, default="") if cumulative else "".join(said)).strip()


def _said(event: dict[str, Any]) -> str:
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        return str(choice.get("text") or delta.get("content") or "")
    token = event.get("token")
    if token is not None:
        return str(token["text"])
    if "raw" in event:
        return "".join(json.loads(message).get("delta", "") for message in event["raw"])
    content = event.get("content")
    if isinstance(content, dict):
        return str(content["object"]["data"])
    message = event.get("message")
    if isinstance(message, dict):
        return str(message.get("content", ""))
    return str(event.get("text") or event.get("response") or content or "")
