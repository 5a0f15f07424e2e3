"""The ASGI application: finds the endpoint, checks the key, and gives up when the client does."""

import asyncio
import secrets

from . import errors
from .access_log import log_finished
from .dialects.kind import Dialect
from .exchange import Exchange, Receive, Scope, Send
from .service import Endpoint, Service

_TEXT = b"text/plain; charset=utf-8"


class App:
    def __init__(self, service: Service, dialect: Dialect) -> None:
        self._service = service
        self._dialect = dialect
        self._routes = dialect.routes(service.settings)
        self._paths = {path for _, path in self._routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        exchange.varies = self._dialect.varies
        try:
            if await exchange.read_body():
                await self._serve(exchange)
        finally:
            log_finished(exchange)
            if exchange.status is not None and (exchange.method, exchange.path) in self._routes:
                self._service.meter.count_answer(exchange.method, exchange.path, exchange.status)

    async def _serve(self, exchange: Exchange) -> None:
        """Whatever comes first: the answer is out, or the client has left."""
        answer = asyncio.ensure_future(self._answer(exchange))
        leaving = asyncio.ensure_future(exchange.client_left())
        try:
            await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answer.cancel()
            _, outcome = await asyncio.gather(leaving, answer, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _answer(self, exchange: Exchange) -> None:
        try:
            if not self._permitted(exchange):
                await exchange.reply(401, self._dialect.unauthorized or {"error": {"message": "Unauthorized"}})
                return
            self._refuse_while_loading()
            if await self._disturbed(exchange):
                return
            await self._endpoint(exchange)(self._service, exchange)
        except errors.ApiError as error:
            await self._tell(exchange, error)

    async def _disturbed(self, exchange: Exchange) -> bool:
        """Did a fault take the place of this endpoint?"""
        active = self._service.board.active
        if active.silence(exchange.path):
            await exchange.never()
        garbled = active.garble(exchange.path)
        if garbled is None:
            return False
        status, body = garbled
        await exchange.reply_bytes(status, body, _TEXT)
        return True

    async def _tell(self, exchange: Exchange, error: errors.ApiError) -> None:
        if error.plain:
            await exchange.reply_bytes(error.status, str(error).encode(), _TEXT)
        elif self._dialect.errors_as_null and error.status >= 500:
            await exchange.reply(200, None)
        else:
            await exchange.reply(error.status, self._dialect.error_body(error))

    def _refuse_while_loading(self) -> None:
        if not self._service.core.is_loaded:
            raise errors.ApiError(503, "Loading model", "unavailable_error")

    def _permitted(self, exchange: Exchange) -> bool:
        key = self._service.settings.key
        if key is None or not self._dialect.guarded(exchange.path):
            return True
        given = exchange.headers.get("authorization", "")
        return secrets.compare_digest(given.encode(), f"Bearer {key}".encode())

    def _endpoint(self, exchange: Exchange) -> Endpoint:
        endpoint = self._routes.get((exchange.method, exchange.path))
        if endpoint is None:
            raise errors.wrong_method() if exchange.path in self._paths else errors.no_such_route()
        return endpoint
