"""vLLM 0.32: the status endpoints, which answer without the EngineCore. This is why they say nothing about it."""

import asyncio
from typing import Any, Final
from uuid import uuid4

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .. import tokenizer
from ..answering import generating
from ..exchange import Exchange
from ..generation import parse_chat, parse_completion
from ..service import Routes, Service
from ..settings import Settings
from . import vllm_power
from .kind import Dialect
from .vllm_answers import VllmSpeech
from .vllm_metrics import VllmMetrics

VERSION: Final = "0.32.0"


async def health(service: Service, exchange: Exchange) -> None:
    active = service.board.active
    await asyncio.sleep(active.health_delay_seconds())
    sound = not (service.core.dead or service.stopping)
    await exchange.reply_bytes(active.health_status() or (200 if sound else 503), b"", None)


async def version(service: Service, exchange: Exchange) -> None:
    del service
    await exchange.reply(200, {"version": VERSION})


async def metrics(service: Service, exchange: Exchange) -> None:
    await exchange.reply_bytes(200, service.meter.page() or b"", CONTENT_TYPE_LATEST.encode())


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


_ROUTES: Final[Routes] = {
    ("GET", "/health"): health,
    ("GET", "/ping"): health,
    ("POST", "/ping"): health,
    ("GET", "/version"): version,
    ("GET", "/metrics"): metrics,
    ("GET", "/load"): load,
    ("GET", "/v1/models"): models,
    ("POST", "/tokenize"): tokenize,
    ("POST", "/v1/completions"): generating(parse_completion, VllmSpeech),
    ("POST", "/v1/chat/completions"): generating(parse_chat, VllmSpeech),
}


def _routes(settings: Settings) -> Routes:
    return _ROUTES | (vllm_power.ROUTES if settings.dev_mode else {})


DIALECT: Final = Dialect(
    name="vllm",
    routes=_routes,
    meter=VllmMetrics,
    unauthorized={"error": "Unauthorized"},
    varies=True,
)
