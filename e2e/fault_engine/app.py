"""The ASGI application: finds the endpoint, checks the key, and gives up when the client does."""

import asyncio
import secrets

from . import errors, generation_routes, power_routes, status_routes
from .access_log import log_finished
from .exchange import Exchange, Receive, Scope, Send
from .service import Endpoint, Routes, Service


class App:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: Routes = status_routes.ROUTES | generation_routes.ROUTES
        if service.settings.dev_mode:
            self._routes |= power_routes.ROUTES
        self._paths = {path for _, path in self._routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            if await exchange.read_body():
                await self._serve(exchange)
        finally:
            log_finished(exchange)

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
                await exchange.reply(401, {"error": "Unauthorized"})
                return
            await self._endpoint(exchange)(self._service, exchange)
        except errors.ApiError as error:
            await exchange.reply(error.status, error.body)

    def _permitted(self, exchange: Exchange) -> bool:
        """As in vLLM the key guards /v1 only: metrics and all control endpoints are open."""
        key = self._service.settings.key
        if key is None or not exchange.path.startswith("/v1"):
            return True
        given = exchange.headers.get("authorization", "")
        return secrets.compare_digest(given.encode(), f"Bearer {key}".encode())

    def _endpoint(self, exchange: Exchange) -> Endpoint:
        endpoint = self._routes.get((exchange.method, exchange.path))
        if endpoint is None:
            raise errors.wrong_method() if exchange.path in self._paths else errors.no_such_route()
        return endpoint
