"""From a generation request to the last byte of its answer: the engine's tokens, put into a dialect's speech."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from . import tokenizer
from .access_log import log_accepted
from .core_client import TokenStream
from .errors import ApiError, bad_request, turned_away
from .exchange import Exchange
from .generation import Generation, Terms
from .request import Request
from .service import Endpoint, Service
from .speech import Header, Piece, Speech
from .wire import Wire

Parse = Callable[[Mapping[str, Any], Terms, str], Generation]

_NOT_JSON: Final = "Out of range float values are not JSON compliant: nan"


def generating(parse: Parse, speech: type[Speech]) -> Endpoint:
    """The endpoint that takes such requests and answers them so."""

    async def endpoint(service: Service, exchange: Exchange) -> None:
        service.load += 1
        try:
            await _generate(service, exchange, parse, speech)
        finally:
            service.load -= 1

    return endpoint


async def _generate(service: Service, exchange: Exchange, parse: Parse, speech: type[Speech]) -> None:
    name = exchange.headers.get("x-request-id") or uuid4().hex[:16]
    generation = parse(exchange.json_body(), service.terms, name)
    request = generation.request
    request.beside = service.load - 1
    exchange.request_id = generation.answer_id
    log_accepted(exchange)
    service.unloaded = False
    service.board.active.notice_request(len(request.prompt), time.monotonic())
    refusal = service.board.active.refusal(request)
    if refusal is not None:
        service.meter.count_rejection()
        raise turned_away(refusal.status, refusal.message, plain=refusal.plain)
    answer = speech(generation, service.settings.model, int(time.time()), service.board.active.wire(request))
    answer.tells_cached = service.settings.prompt_details
    if generation.stream and answer.header is Header.AT_ONCE:
        await exchange.start(200, answer.content_type, answer.headers)
        opening = b"" if answer.wire.null_body else answer.open()
        await exchange.send(opening)
        answer.opened = bool(opening)
    try:
        await _with_permit(service, exchange, answer)
    except ApiError as error:
        if not exchange.started:
            raise
        await exchange.send(answer.error(error.status, str(error), error.kind))
        await _close(exchange, answer, failed=True)


async def _with_permit(service: Service, exchange: Exchange, answer: Speech) -> None:
    """A permit is held until the answer is out, or the client has left; a fault may hold it longer."""
    request = answer.generation.request
    await service.take_permit()
    how = "error"
    stream: TokenStream | None = None
    try:
        stream = service.core.submit(request)
        if answer.generation.stream and answer.header is Header.WHEN_ADMITTED:
            await exchange.start(200, answer.content_type, answer.headers)
        await _answer(service, exchange, answer, stream)
        how = "finish"
    except asyncio.CancelledError:
        how = "abort"
        raise
    except _CutError:
        how = "error"
    finally:
        _let_go(service, request, stream, how)


class _CutError(Exception):
    """The connection is to be closed inside the body."""


def _let_go(service: Service, request: Request, stream: TokenStream | None, how: str) -> None:
    if stream is not None and how == "abort" and service.board.active.ignore_abort(request):
        service.in_background(_see_out(service, stream))
        return
    if stream is not None:
        service.core.abort(stream)  # nothing is left to abort, unless the client has gone
    if how == "abort":
        service.board.active.notice_abort(time.monotonic())
    if not service.board.active.keep_permit(request, how):
        service.give_permit()


async def _see_out(service: Service, stream: TokenStream) -> None:
    """The client has left, and nobody told the engine."""
    with suppress(ApiError):
        while (await stream.take())[1] is None:
            pass
    service.give_permit()


async def _answer(service: Service, exchange: Exchange, answer: Speech, stream: TokenStream) -> None:
    if answer.generation.stream:
        await _send_stream(service, exchange, answer, stream)
        return
    pieces = [piece async for piece in _pieces(service, exchange, answer, stream)]
    answer.cached = stream.cached
    await _send_whole(exchange, answer, _joined(pieces))


async def _send_whole(exchange: Exchange, answer: Speech, piece: Piece) -> None:
    wire = answer.wire
    if wire.header_only or not wire.closes:
        await exchange.never()
    if wire.error_after is not None:
        raise ApiError(500, wire.error_message, "InternalServerError")
    if answer.generation.logprobs is not None and any(said.logprob is None for said in piece.said):
        raise bad_request(_NOT_JSON)
    answer.said = len(piece.said)
    answer.text = piece.text
    document = None if wire.null_body else answer.whole(_ended(piece, wire))
    if wire.cut_after is not None:
        await exchange.reply_cut(200, document)
        raise _CutError
    await exchange.reply(200, document)


async def _send_stream(service: Service, exchange: Exchange, answer: Speech, stream: TokenStream) -> None:
    """An error after the header can only be told inside the stream, and the terminator may follow it all the same."""
    wire = answer.wire
    failed = False
    try:
        async for piece in _pieces(service, exchange, answer, stream):
            if not exchange.started:
                await exchange.start(200, answer.content_type, answer.headers)
            answer.cached = stream.cached
            await _send_piece(exchange, answer, piece)
        if wire.finish and not wire.header_only:
            await exchange.send(answer.close())
    except ApiError as error:
        if not exchange.started:
            raise
        failed = True
        await exchange.send(answer.error(error.status, str(error), error.kind))
    await _close(exchange, answer, failed=failed)


async def _close(exchange: Exchange, answer: Speech, *, failed: bool) -> None:
    wire = answer.wire
    if not wire.closes or wire.header_only:
        await exchange.never()
    if wire.terminator and (answer.terminates_errors or not failed):
        await exchange.send(answer.terminator)
    await exchange.end()


async def _send_piece(exchange: Exchange, answer: Speech, piece: Piece) -> None:
    wire = answer.wire
    if wire.null_body:
        raise _CutError
    if wire.header_only:
        return
    if not answer.opened:
        await exchange.send(answer.open())
    if wire.error_after is not None and answer.said >= wire.error_after:
        raise ApiError(500, wire.error_message, "InternalServerError")
    if wire.empty_after is not None and answer.said >= wire.empty_after:
        answer.said += len(piece.said)
        await exchange.send(answer.empty())
        return
    await exchange.send(answer.take(_ended(piece, wire)))
    if wire.cut_after is not None and answer.said >= wire.cut_after:
        raise _CutError


def _ended(piece: Piece, wire: Wire) -> Piece:
    """The reason as it is told."""
    if not piece.finish:
        return piece
    told = wire.finish_as or piece.finish
    return Piece(piece.text, piece.said, told if wire.finish else None, piece.stop_reason, piece.reasoning)


async def _pieces(service: Service, exchange: Exchange, answer: Speech, stream: TokenStream) -> AsyncIterator[Piece]:
    """The tokens as text, cut at the first stop string."""
    generation = answer.generation
    text = ""
    count = 0
    finish: str | None = None
    while not finish:
        said, finish = await _take(exchange, answer, stream)
        exchange.tokens += len(said)
        thinking = max(0, generation.reasoning_tokens - count)
        reasoning = tokenizer.decode([one.token for one in said[:thinking]]) if thinking else ""
        more = tokenizer.decode([one.token for one in said[thinking:]])
        count += len(said)
        stop = next((word for word in generation.stop if word in text + more), None) if generation.stop else None
        if stop is not None:
            service.core.end(stream)
            yield Piece((text + more).partition(stop)[0][len(text) :], said, "stop", stop, reasoning)
            return
        text += more
        yield Piece(more, said, finish, None, reasoning)


async def _take(exchange: Exchange, answer: Speech, stream: TokenStream) -> tuple[list[Any], str | None]:
    """The next tokens, with comments while none come."""
    pause = answer.wire.comment_seconds or answer.comment_seconds
    if not (pause and answer.generation.stream and answer.comment):
        return await stream.take()
    taking = asyncio.ensure_future(stream.take())
    try:
        while not (await asyncio.wait({taking}, timeout=pause))[0]:
            if not exchange.started:
                await exchange.start(200, answer.content_type, answer.headers)
            await exchange.send(answer.comment)
        return await taking
    finally:
        taking.cancel()


def _joined(pieces: list[Piece]) -> Piece:
    last = pieces[-1]
    said = [one for piece in pieces for one in piece.said]
    text, reasoning = "".join(piece.text for piece in pieces), "".join(piece.reasoning for piece in pieces)
    return Piece(text, said, last.finish, last.stop_reason, reasoning)
