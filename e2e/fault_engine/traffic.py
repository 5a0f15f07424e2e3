"""Background users: `python -m fault_engine.traffic --dialect vllm --port 8000 --load '{"streams": 4}'`.

A process of its own with connections of its own, so that the engine's sockets look as they do beside real users. What
they are answered is thrown away, and an engine that refuses or hangs them is their daily life.
"""

import argparse
import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any, Final

from .tokenizer import answer_token, decode
from .traffic_load import TrafficLoad

_PATHS: Final = {
    "fastchat": "/worker_generate_stream",
    "dbgpt": "/api/worker/generate_stream",
    "lazyllm": "/chat",
    "ollama": "/api/generate",
    "tgi": "/generate_stream",
    "sglang": "/generate",
    "llamacpp": "/completion",
}
_RETRY_SECONDS: Final = 1.0
_READ_BYTES: Final = 1 << 16


def request(dialect: str, model: str, prompt: str, max_tokens: int) -> tuple[str, dict[str, Any]]:
    """Path and body of a streamed generation."""
    bodies: dict[str, dict[str, Any]] = {
        "fastchat": {"model": model, "prompt": prompt, "max_new_tokens": max_tokens, "temperature": 0.7, "echo": False},
        "dbgpt": {"model": model, "prompt": prompt, "max_new_tokens": max_tokens, "temperature": 0.7},
        "lazyllm": {"query": prompt, "max_tokens": max_tokens},
        "ollama": {"model": model, "prompt": prompt, "options": {"num_predict": max_tokens}},
        "tgi": {"inputs": prompt, "parameters": {"max_new_tokens": max_tokens}},
        "sglang": {"text": prompt, "stream": True, "sampling_params": {"max_new_tokens": max_tokens}},
        "llamacpp": {"prompt": prompt, "n_predict": max_tokens, "stream": True},
    }
    chat = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "stream": True}
    return _PATHS.get(dialect, "/v1/chat/completions"), bodies.get(dialect, chat)


class Users:
    def __init__(self, port: int, dialect: str, model: str, load: TrafficLoad) -> None:
        self._port = port
        self._dialect = dialect
        self._model = model
        self._load = load
        self._asked = os.getpid()

    async def run(self) -> None:
        """For ever, or until the burst is over where there is nobody else."""
        await asyncio.gather(
            *(self._ask() for _ in range(self._load.burst)),
            *(self._live(place) for place in range(self._load.streams)),
        )

    async def _live(self, place: int) -> None:
        await asyncio.sleep(self._load.pause_seconds * place / max(1, self._load.streams))
        while True:
            if not await self._ask():
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(self._load.pause_seconds)

    async def _ask(self) -> bool:
        """One stream to its end, however it ends; False where nobody listens."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        with suppress(OSError):
            writer.write(self._request())
            while await reader.read(_READ_BYTES):
                pass
        writer.close()
        return True

    def _request(self) -> bytes:
        self._asked += 1
        words = decode(answer_token(self._asked, place) for place in range(self._load.prompt_words))
        path, document = request(self._dialect, self._model, words, self._load.max_tokens)
        body = json.dumps(document).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: background\r\nConnection: close\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(prog="traffic", description="Background users of a model server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dialect", default="vllm")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--load", type=lambda text: TrafficLoad.from_json(json.loads(text)), required=True)
    parser.add_argument("--until-hang-up", action="store_true", help="end when standard input does")
    given = parser.parse_args()
    users = Users(given.port, given.dialect, given.model, given.load)
    with suppress(KeyboardInterrupt):
        asyncio.run(_until_hang_up(users) if given.until_hang_up else users.run())


async def _until_hang_up(users: Users) -> None:
    """The server's end of the pipe is closed with the server, however it dies."""
    hung_up = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, hung_up.set)
    using = asyncio.ensure_future(users.run())
    await hung_up.wait()
    using.cancel()


if __name__ == "__main__":
    main()
