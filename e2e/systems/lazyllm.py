"""LazyLLM 1.4.0 behind a FastAPI application of its users' kind, in front of an upstream.

Its faults are in how the application tells requests apart, so they are chosen at the start, not caused.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.systems.environments import environment
from e2e.systems.programs import LOOPBACK, Program, free_port
from e2e.systems.talking import Opened, Reply, answers, ask, get, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.systems.upstream import Upstream

PATH: Final = "/chat"
TEXT_FIELD: Final = "query"
START_SECONDS: Final = 60
SCRIPT: Final = Path(__file__).with_name("inside") / "lazyllm_app.py"
WORDS: Final = 12


class Mode(StrEnum):
    BUG = "bug"
    """All requests share one queue."""
    FIX = "fix"
    """A session id for each request, made from an address that is used again."""
    HELPER = "helper"
    """LazyLLM's own way."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a stream was asked to say, and what it said."""

    asked: tuple[str, ...]
    said: tuple[str, ...]
    sessions: frozenset[str]

    @property
    def foreign(self) -> int:
        return len([word for word in self.said if word not in self.asked])

    @property
    def whole(self) -> bool:
        return self.said == self.asked


class LazyLlm:
    def __init__(self, folder: Path, upstream: Upstream, mode: Mode) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        arguments = [f"--port={self.port}", f"--upstream={upstream.url}/", f"--mode={mode}"]
        command = [str(environment("lazyllm")), str(SCRIPT), *arguments]
        self.program = Program("lazyllm", command, folder, {"LAZYLLM_HOME": str(folder / "lazyllm")})

    def chat(self, text: str, *, seconds: float = 20) -> Reply:
        return ask(f"{self.url}{PATH}", {TEXT_FIELD: text}, seconds=seconds)

    def say(self) -> Words:
        """A stream of words that nobody else was asked for."""
        asked = nonce_words()
        reply = self.chat(" ".join(asked))
        return Words(asked, tuple(text_of(reply).split()), frozenset(sessions_of(reply.body)))

    def abandon(self, upstream: Upstream, streams: int) -> set[str]:
        """Streams whose clients leave after the first word, before the others come; the sessions that they read."""
        dead: set[str] = set()
        with ExitStack() as stack:
            for _ in range(streams):
                text = f"fault:stall {' '.join(nonce_words())}"
                stream = stack.enter_context(Opened(f"{self.url}{PATH}", {TEXT_FIELD: text}, "POST", seconds=20))
                stream.send()
                dead |= sessions_of(stream.read_until(lambda body: b"delta" in body))
        get(f"{self.url}/openapi.json")  # answered after a turn of its event loop, in which it has seen them leave
        upstream.release()
        wait_for("upstream has finished them all", lambda: upstream.busy == 0)
        return dead

    def wait_up(self) -> None:
        self.program.wait_up(lambda: answers(f"{self.url}/openapi.json"), START_SECONDS)

    def restart(self) -> None:
        self.program.stop()
        self.program.start()


def nonce_words() -> tuple[str, ...]:
    nonce = secrets.token_hex(4)
    return tuple(f"{nonce}-{index:02}" for index in range(WORDS))


def text_of(reply: Reply) -> str:
    """What was streamed; the whole answer at the end is always right, and proves nothing."""
    texts = (_messages(event) for event in reply.sse_objects())
    return "".join(message["delta"] for messages in texts for message in messages if message["tag"] == "text")


def sessions_of(body: bytes) -> set[str]:
    """LazyLLM's ids of the sessions whose queue a stream has read."""
    return {found.decode() for found in re.findall(rb'"session": "([^"]+)"', body)}


def _messages(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(message) if isinstance(message, str) else message for message in event.get("messages", ())]


@contextmanager
def running(folder: Path, upstream: Upstream, mode: Mode) -> Iterator[LazyLlm]:
    system = LazyLlm(folder, upstream, mode)
    with system.program:
        system.wait_up()
        yield system
