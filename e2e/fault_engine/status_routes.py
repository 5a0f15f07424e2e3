"""The endpoints that answer without the EngineCore: this is why they say nothing about it."""

import asyncio
from typing import Any, Final
from uuid import uuid4

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from . import tokenizer
from .exchange import Exchange
from .service import Routes, Service

VERSION: Final = "0.32.0"


async def health(service: Service, exchange: Exchange) -> None:
    await asyncio.sleep(service.board.active.health_delay_seconds())
    sound = not (service.core.dead or service.stopping)
    await exchange.reply_bytes(200 if sound else 503, b"", None)


async def version(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply(200, {"version": VERSION})


async def metrics(service: Service, exchange: Exchange) -> None:
    await exchange.reply_bytes(200, service.metrics.page(), CONTENT_TYPE_LATEST.encode())


async def load(service: Service, exchange: Exchange) -> None:
    await exchange.reply(200, {"server_load": service.load if service.settings.load_tracking else 0})


async def models(service: Service, exchange: Exchange) -> None:
    permission: dict[str, Any] = {
        "id": f"modelperm-{uuid4().hex[:16]}",
        "object": "model_permission",
        "created": service.created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    model = {
        "id": service.settings.model,
        "object": "model",
        "created": service.created,
        "owned_by": "vllm",
        "root": f"/models/{service.settings.model}",
        "parent": None,
        "max_model_len": service.settings.limits.max_model_len,
        "permission": [permission],
    }
    await exchange.reply(200, {"object": "list", "data": [model]})


async def tokenize(service: Service, exchange: Exchange) -> None:
    tokens = tokenizer.encode(str(exchange.json_body().get("prompt", "")))
    limit = service.settings.limits.max_model_len
    document = {"count": len(tokens), "max_model_len": limit, "tokens": tokens, "token_strs": None}
    await exchange.reply(200, document)


ROUTES: Final[Routes] = {
    ("GET", "/health"): health,
    ("GET", "/ping"): health,
    ("POST", "/ping"): health,
    ("GET", "/version"): version,
    ("GET", "/metrics"): metrics,
    ("GET", "/load"): load,
    ("GET", "/v1/models"): models,
    ("POST", "/tokenize"): tokenize,
}
