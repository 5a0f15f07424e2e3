"""Any OpenAI-compatible server: two completion endpoints and a model list, and nothing else. Others build on it."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from .. import tokenizer
from ..answering import generating
from ..exchange import Exchange
from ..generation import parse_chat, parse_completion
from ..service import Routes, Service
from ..settings import Settings
from ..speech import Piece, Speech, sse
from .kind import Dialect


@dataclass(slots=True)
class OpenAISpeech(Speech):
    """Chunks with the fields that OpenAI documents, and no others."""

    def open(self) -> bytes:
        if not self.generation.chat:
            return b""
        return sse(self._chunk({"role": "assistant", "content": ""}, None, None))

    def chunk(self, piece: Piece) -> bytes:
        return sse(self._chunk(self._delta(piece), self._logprobs(piece), piece.finish, piece.reasoning + piece.text))

    def empty(self) -> bytes:
        return sse(self._head(chunk=True) | {"choices": []})

    def close(self) -> bytes:
        if not self.generation.include_usage:
            return b""
        return sse(self._head(chunk=True) | {"choices": [], "usage": self.usage()})

    def whole(self, piece: Piece) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "logprobs": self._logprobs(piece), "finish_reason": piece.finish}
        if self.generation.chat:
            message = {"role": "assistant", "content": piece.text}
            choice["message"] = message | ({"reasoning_content": piece.reasoning} if piece.reasoning else {})
        else:
            choice["text"] = piece.reasoning + piece.text
        return self._head(chunk=False) | {"choices": [choice], "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        usage = Speech.usage(self)
        return usage | ({"prompt_tokens_details": {"cached_tokens": self.cached}} if self.tells_cached else {})

    def _head(self, *, chunk: bool) -> dict[str, Any]:
        kind = "chat.completion" if self.generation.chat else "text_completion"
        ending = ".chunk" if chunk and self.generation.chat else ""
        return {
            "id": self.generation.answer_id,
            "object": kind + ending,
            "created": self.created,
            "model": self.model,
        }

    def _chunk(
        self, delta: dict[str, Any], logprobs: dict[str, Any] | None, finish: str | None, text: str = ""
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "logprobs": logprobs, "finish_reason": finish}
        choice |= {"delta": delta} if self.generation.chat else {"text": text}
        chunk = self._head(chunk=True) | {"choices": [choice]}
        return chunk | ({"usage": self.usage()} if self.generation.continuous_usage else {})

    def _delta(self, piece: Piece) -> dict[str, Any]:
        delta: dict[str, Any] = {"reasoning_content": piece.reasoning} if piece.reasoning else {}
        return delta | ({"content": piece.text} if piece.text else {})

    def _logprobs(self, piece: Piece) -> dict[str, Any] | None:
        if self.generation.logprobs is None:
            return None
        told = [(tokenizer.decode([said.token]), said.logprob) for said in piece.said]
        if self.generation.chat:
            return {"content": [{"token": text, "logprob": value, "top_logprobs": []} for text, value in told]}
        return {"tokens": [text for text, _ in told], "token_logprobs": [value for _, value in told]}


async def models(service: Service, exchange: Exchange) -> None:
    model = {"id": service.settings.model, "object": "model", "created": service.created, "owned_by": "organization"}
    await exchange.reply(200, {"object": "list", "data": [model]})


async def static_health(service: Service, exchange: Exchange) -> None:
    """A health endpoint that proves a web server."""
    active = service.board.active
    await asyncio.sleep(active.health_delay_seconds())
    status = active.health_status() or 200
    await exchange.reply(status, {"status": "ok" if status == 200 else "error"})


def generation_routes(speech: type[Speech]) -> Routes:
    return {
        ("POST", "/v1/completions"): generating(parse_completion, speech),
        ("POST", "/v1/chat/completions"): generating(parse_chat, speech),
    }


def _routes(settings: Settings) -> Routes:
    del settings
    return {("GET", "/v1/models"): models} | generation_routes(OpenAISpeech)


DIALECT: Final = Dialect(name="openai", routes=_routes)
