"""Which dialect a server speaks, by its own answers to a few calls that cost it nothing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_watchdog.api.policy import EngineType
from llm_watchdog.engines.dialect import Call, read_models
from llm_watchdog.engines.json_bodies import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

OK: Final = 200

MODELS: Final = "/v1/models"
METRICS: Final = "/metrics"

RECOGNITION_CALLS: Final[tuple[Call, ...]] = (Call(method="GET", path=MODELS), Call(method="GET", path=METRICS))


def recognise(answers: Mapping[str, tuple[int, bytes]]) -> EngineType | None:
    """From status and body, keyed by path; a path without an answer is left out. None: no dialect fits."""
    _, metrics = answers.get(METRICS, (0, b""))
    status, models = answers.get(MODELS, (0, b""))
    owners = [entry.get("owned_by") for entry in json_object(models).get("data") or () if isinstance(entry, dict)]
    if b"vllm:num_requests_running" in metrics or "vllm" in owners:
        return EngineType.VLLM
    return EngineType.OPENAI if status == OK and read_models(models) else None
