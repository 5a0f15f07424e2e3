"""Users with a connection for each request, who sometimes leave in the middle of an answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from e2e.fault_engine.tokenizer import answer_token, decode
from e2e.fault_engine.traffic import request

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from benchmarks.detection.rule import Wire

HEADERS: Final = {"Host": "127.0.0.1:8000", "User-Agent": "user", "Content-Type": "application/json"}
NEW_WORDS: Final = (100, 300, 1200)
"""From a prompt that fits into one packet to a document."""
AWAY_SECONDS: Final = 1.0
"""How often a user looks whether the replica is in rotation again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Of a replica; each number is one user's."""

    users: int = 0
    pause_seconds: float = 2.0
    """Mean of the time between an answer and the next question."""
    max_tokens: int = 64
    prompt_words: int = 40
    patience_seconds: tuple[float, ...] = (60.0, 120.0, 600.0)
    """Without a byte; then the user leaves. Each has one of them: nginx's `proxy_read_timeout` is 60 s by default, and
    OpenAI's clients wait for ten minutes."""
    leave_share: float = 0.0
    """Of the answers, that many are left in the middle."""
    long_prompt_words: int = 0
    """Of one question in `long_prompt_every`."""
    long_prompt_every: int = 10


class Users:
    """They ask while the replica is in rotation, as a router would have it."""

    def __init__(self, network: Wire, dialect: str, load: Load, luck: Random, in_rotation: Callable[[], bool]) -> None:
        self._network = network
        self._dialect = dialect
        self._load = load
        self._luck = luck
        self._in_rotation = in_rotation
        self._asked = 0

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._live(self._patience(place)) for place in range(self._load.users)))
        await asyncio.Event().wait()

    async def burst(self, count: int) -> None:
        """So many questions at once; returns when the last is answered."""
        await asyncio.gather(*(self._ask(self._patience(place)) for place in range(count)))

    async def ask_anew(self) -> None:
        """Once, with a prompt of a length that nobody had; returns when it is answered, or given up on."""
        words, patience = self._luck.choice(NEW_WORDS), self._luck.choice((15.0, *self._load.patience_seconds))
        await self._ask(patience, words)

    def _patience(self, place: int) -> float:
        return self._load.patience_seconds[place % len(self._load.patience_seconds)]

    async def _live(self, patience: float) -> None:
        while True:
            await asyncio.sleep(self._luck.expovariate(1 / max(self._load.pause_seconds, 1e-3)))
            if self._in_rotation():
                await self._ask(patience)
            else:
                await asyncio.sleep(AWAY_SECONDS)

    async def _ask(self, patience: float, words: int | None = None) -> None:
        """One stream to its end, however it ends."""
        path, body = self._question(words)
        leaves_after = self._luck.randint(2, 12) if self._luck.random() < self._load.leave_share else None
        with suppress(OSError, httpx.HTTPError, TimeoutError):
            connection = await self._network.open("POST", path, HEADERS, body, own=False)
            try:
                parts = 0
                more = True
                while more and parts != leaves_after:
                    async with asyncio.timeout(patience):
                        message = await self._network.next(connection)
                    parts += 1
                    more = message["type"] == "http.response.start" or message.get("more_body", False)
            finally:
                self._network.close(connection)

    def _question(self, words: int | None = None) -> tuple[str, bytes]:
        self._asked += 1
        long = self._load.long_prompt_words
        words = words or self._load.prompt_words
        if long and self._asked % self._load.long_prompt_every == 0:
            words = long
        seed = self._luck.getrandbits(30)
        prompt = decode(answer_token(seed, place) for place in range(words))
        tokens = max(1, round(self._load.max_tokens * self._luck.uniform(0.3, 1.5)))
        path, document = request(self._dialect, "tiny", prompt, tokens)
        return path, json.dumps(document).encode()
