"""A vLLM with a model in it, behind a mock transport: a prefix cache, log probabilities, slots, and ways to be sick."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from llm_watchdog.core.observations import SocketSample, SocketsObservation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SSE = {"content-type": "text/event-stream; charset=utf-8"}


async def until(condition: Callable[[], bool], step: float = 0.01) -> None:
    """On a clock that does not wait, looking often costs nothing but steps."""
    while True:
        await asyncio.sleep(step)
        if condition():
            return


@dataclass
class ModelServer:
    silent: bool = False
    corrupt_cache: bool = False
    nan: bool = False
    swaps: bool = False
    bleeds: bool = False
    leaks: bool = False
    refuses_logprobs: bool = False
    caches: bool = True
    tells_hits: bool = True
    echoes: bool = True
    weights: int = 1
    slots: int = 4
    broken: set[str] = field(default_factory=set)
    asked: list[dict[str, Any]] = field(default_factory=list)
    users: tuple[SocketSample, ...] = ()
    served: int = 0
    most_served: int = 0
    cached: set[str] = field(default_factory=set)
    hits: int = 0
    left: str = ""
    beside: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path in self.broken:
            raise ZeroDivisionError
        if path == "/v1/completions":
            return await self._complete(json.loads(request.content))
        bodies = {"/is_sleeping": {"is_sleeping": False}, "/is_paused": {"is_paused": False}}
        if path == "/metrics":
            hits = f"vllm:prefix_cache_hits_total {self.hits}\n" if self.tells_hits else ""
            return httpx.Response(200, text=f"vllm:num_requests_running {self.served}\n{hits}")
        return httpx.Response(200, json=bodies.get(path, {"version": "1.0"}))

    def sockets(self, _port: int, at: float) -> SocketsObservation:
        return SocketsObservation(at=at, readable=True, listeners=frozenset({7}), samples=self.users)

    async def _complete(self, body: dict[str, Any]) -> httpx.Response:
        self.asked.append(body)
        if body.get("logprobs") and self.refuses_logprobs:
            return httpx.Response(400, json={"error": {"message": "logprobs are not supported"}})
        return httpx.Response(200, headers=SSE, stream=Stream(self._events(body)))

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        hit = self._look_up(body)
        self.served += 1
        self.most_served = max(self.most_served, self.served)
        self.beside.append(body["prompt"])
        whole = False
        try:
            await asyncio.sleep(0.01)
            said = self._say(body, hit=hit)
            for place, word in enumerate(said):
                await until(lambda: not self.silent and self.served <= self.slots)
                yield self._event(body, word, "length" if place == len(said) - 1 else None)
            whole = True  # the client hangs up as soon as it has read the last line
            yield b"data: [DONE]\n\n"
        finally:
            self.beside.remove(body["prompt"])
            if not whole and self.bleeds:
                self.left = body["prompt"]
            if whole or not self.leaks:
                self.served -= 1

    def _look_up(self, body: dict[str, Any]) -> bool:
        key = body["prompt"] + body.get("cache_salt", "")
        hit = self.caches and key in self.cached and len(key) > 100
        self.hits += 100 * hit
        self.cached.add(key)
        return hit

    def _say(self, body: dict[str, Any], *, hit: bool) -> list[str]:
        prompt = body["prompt"]
        if self.swaps and len(self.beside) > 1:
            prompt = next(other for other in self.beside if other != prompt)
        if self.left:
            prompt, self.left = self.left, ""
        nonce = re.search(r"nothing else: (.+)\n", prompt)
        if nonce and self.echoes:
            return nonce[1].split()
        seed = f"{self.weights}{'!' if hit and self.corrupt_cache else ''}{prompt}"
        return [f"w{zlib.crc32(f'{seed}{place}'.encode()) % 4999}" for place in range(body["max_tokens"])]

    def _event(self, body: dict[str, Any], word: str, finish: str | None) -> bytes:
        logprob = None if self.nan else -0.1 - zlib.crc32(word.encode()) % 100 / 100
        choice = {
            "index": 0,
            "text": f" {word}",
            "token_ids": [zlib.crc32(word.encode()) % 5000],
            "logprobs": {"token_logprobs": [logprob]} if body.get("logprobs") else None,
            "finish_reason": finish,
        }
        return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


class Stream(httpx.AsyncByteStream):
    """Closed when the client goes away, as a connection is."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._events:
            yield event

    async def aclose(self) -> None:
        await self._events.aclose()  # type: ignore[attr-defined]
