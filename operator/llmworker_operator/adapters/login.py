"""kopf's way to the API server: a session that deals with a 401 itself.

A good token, too, is refused while an API server starts or cannot ask its authenticator. kopf then never takes equal
credentials again, and closes the session under all other watches, which may end the operator
(`RuntimeError: Connection closed.` in aiohttp).
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp
import kopf

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    Find = Callable[[], kopf.ConnectionInfo | None]

logger = logging.getLogger(__name__)


def session(find: Find, *, backoff_seconds: float) -> kopf.AiohttpSession | None:
    """None where there are no credentials. What is found is read anew for each attempt, as tokens rotate.

    Attempts go on for as long as the request's own time-out.
    """
    found = find()
    if found is None:
        return None

    async def authorized(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        while True:
            newest = find()
            if newest is not None:
                request.headers.update(newest.as_http_headers())
            response = await handler(request)
            if response.status != HTTPStatus.UNAUTHORIZED:
                return response
            response.close()
            logger.warning("%s was answered with 401, and is tried again", request.url.path)
            await asyncio.sleep(backoff_seconds)

    return kopf.AiohttpSession(
        server=found.server,
        default_namespace=found.default_namespace,
        aiohttp_session=aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
            middlewares=(authorized,),
            proxy=found.proxy_url,
            trust_env=found.trust_env,
        ),
    )
