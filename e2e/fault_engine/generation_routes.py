"""/v1/completions and /v1/chat/completions: from the request to the last event."""

import json
from collections.abc import AsyncIterator
from time import time
from typing import Any, Final
from uuid import uuid4

from . import tokenizer
from .access_log import log_accepted
from .answers import Answer, Piece
from .core_client import TokenStream
from .errors import EngineDeadError, turned_away
from .exchange import Exchange
from .generation import Generation, parse_chat, parse_completion
from .service import Routes, Service


async def completions(service: Service, exchange: Exchange) -> None:
    await _generate(service, exchange, chat=False)


async def chat_completions(service: Service, exchange: Exchange) -> None:
    await _generate(service, exchange, chat=True)


async def _generate(service: Service, exchange: Exchange, *, chat: bool) -> None:
    service.load += 1
    try:
        name = exchange.headers.get("x-request-id") or uuid4().hex[:16]
        parse = parse_chat if chat else parse_completion
        generation = parse(exchange.json_body(), service.settings.model, service.settings.limits, name)
        exchange.request_id = generation.answer_id
        log_accepted(exchange)
        refusal = service.board.active.refusal_status()
        if refusal is not None:
            service.metrics.count_rejection()
            raise turned_away(refusal)
        await _answer(service, exchange, generation)
    finally:
        service.load -= 1


async def _answer(service: Service, exchange: Exchange, generation: Generation) -> None:
    answer = Answer(generation, service.settings.model, int(time()))
    stream = service.core.submit(generation.request)
    try:
        if generation.stream:
            await exchange.start_events()
            await _send_events(service, exchange, answer, stream)
        else:
            pieces = [piece async for piece in _pieces(service, exchange, generation, stream)]
            await exchange.reply(200, answer.whole(_joined(pieces)))
    finally:
        service.core.abort(stream)  # nothing is left to abort, unless the client has gone


async def _send_events(service: Service, exchange: Exchange, answer: Answer, stream: TokenStream) -> None:
    """An error after the header can only be told inside the stream, and `[DONE]` follows it all the same."""
    try:
        async for piece in _pieces(service, exchange, answer.generation, stream):
            chunks = [] if answer.opened else answer.opening()
            for chunk in (*chunks, answer.chunk(piece)):
                await exchange.event(_compact(chunk))
        if answer.generation.include_usage:
            await exchange.event(_compact(answer.usage_chunk()))
    except EngineDeadError as error:
        await exchange.event(json.dumps(error.body))
    await exchange.end_events()


async def _pieces(
    service: Service, exchange: Exchange, generation: Generation, stream: TokenStream
) -> AsyncIterator[Piece]:
    """The tokens as text, cut at the first stop string."""
    said = ""
    finish: str | None = None
    while not finish:
        tokens, finish = await stream.take()
        exchange.tokens += len(tokens)
        text = tokenizer.decode(tokens)
        stop = next((word for word in generation.stop if word in said + text), None)
        if stop is not None:
            service.core.end(stream)
            yield Piece((said + text).partition(stop)[0][len(said) :], tokens, "stop", stop)
            return
        said += text
        yield Piece(text, tokens, finish)


def _joined(pieces: list[Piece]) -> Piece:
    last = pieces[-1]
    tokens = [token for piece in pieces for token in piece.tokens]
    return Piece("".join(piece.text for piece in pieces), tokens, last.finish, last.stop_reason)


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


ROUTES: Final[Routes] = {
    ("POST", "/v1/completions"): completions,
    ("POST", "/v1/chat/completions"): chat_completions,
}
