"""Which kind of engine answers, told by a few calls that harm nobody: none generates, loads, or wakes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llm_watchdog.api.policy import EngineType
from llm_watchdog.engines.dialect import OK, Call
from llm_watchdog.engines.json_bodies import as_object, json_object
from llm_watchdog.engines.openai import as_list

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answers = Mapping[str, tuple[int, bytes]]

RECOGNITION_CALLS: Final[tuple[Call, ...]] = (
    *(
        Call(method="GET", path=path)
        for path in (
            "/v1/models",
            "/metrics",
            "/version",
            "/server_info",
            "/get_server_info",
            "/props",
            "/info",
            "/",
            "/api/version",
            "/openapi.json",
        )
    ),
    Call(method="POST", path="/worker_get_status", body={}),
)


def recognise(answers: Answers) -> EngineType | None:
    """By status and body of each path of `RECOGNITION_CALLS`; a call without an answer may be missing. Raises nothing.

    LazyLLM has no route that would tell it; any server with a model list is at least `openai`.
    """
    return next((engine for engine, is_it in _SIGNS if is_it(answers)), None)


def _body(answers: Answers, path: str) -> dict[str, Any]:
    status, body = answers.get(path, (0, b""))
    return json_object(body) if status == OK else {}


def _has_metrics(answers: Answers, prefix: bytes) -> bool:
    """vLLM, SGLang and TGI guard the model list with a key, and not this page."""
    status, page = answers.get("/metrics", (0, b""))
    return status == OK and any(line.startswith(prefix) for line in page.splitlines())


def _owners(answers: Answers) -> frozenset[str]:
    entries = [as_object(entry) for entry in as_list(_body(answers, "/v1/models").get("data"))]
    return frozenset(str(entry.get("owned_by")) for entry in entries)


def _is_listed(answers: Answers, owner: str, prefix: bytes) -> bool:
    return owner in _owners(answers) or _has_metrics(answers, prefix)


def _routes(answers: Answers) -> frozenset[str]:
    return frozenset(as_object(_body(answers, "/openapi.json").get("paths")))


def _is_fastchat(answers: Answers) -> bool:
    """A worker; the controller answers the same call, with the sums over its workers."""
    told = _body(answers, "/worker_get_status")
    return {"model_names", "speed", "queue_length"} <= told.keys() and "/list_models" not in _routes(answers)


def _is_dbgpt(answers: Answers) -> bool:
    return "/api/worker/generate_stream" in _routes(answers)


def _is_chatchat(answers: Answers) -> bool:
    return "/chat/chat/completions" in _routes(answers)


def _is_sglang(answers: Answers) -> bool:
    told = [_body(answers, path) for path in ("/server_info", "/get_server_info")]
    return any("internal_states" in info for info in told) or _is_listed(answers, "sglang", b"sglang:")


def _is_llamacpp(answers: Answers) -> bool:
    props = _body(answers, "/props")
    return {"total_slots", "default_generation_settings"} <= props.keys() or _is_listed(
        answers, "llamacpp", b"llamacpp:"
    )


def _is_tgi(answers: Answers) -> bool:
    return {"model_id", "max_concurrent_requests"} <= _body(answers, "/info").keys() or _has_metrics(answers, b"tgi_")


def _is_ollama(answers: Answers) -> bool:
    status, body = answers.get("/", (0, b""))
    if status == OK:
        return body.strip() == b"Ollama is running"
    return isinstance(_body(answers, "/api/version").get("version"), str)


def _is_vllm(answers: Answers) -> bool:
    if _is_listed(answers, "vllm", b"vllm:"):
        return True
    has_routes = {"/v1/completions", "/tokenize", "/ping"} <= _routes(answers)
    return has_routes and isinstance(_body(answers, "/version").get("version"), str)


def _is_openai(answers: Answers) -> bool:
    return isinstance(_body(answers, "/v1/models").get("data"), list)


_SIGNS: Final[tuple[tuple[EngineType, Callable[[Answers], bool]], ...]] = (
    (EngineType.FASTCHAT, _is_fastchat),
    (EngineType.DBGPT, _is_dbgpt),
    (EngineType.CHATCHAT, _is_chatchat),
    (EngineType.SGLANG, _is_sglang),
    (EngineType.LLAMACPP, _is_llamacpp),
    (EngineType.TGI, _is_tgi),
    (EngineType.OLLAMA, _is_ollama),
    (EngineType.VLLM, _is_vllm),
    (EngineType.OPENAI, _is_openai),
)
"""In this order: gateways repeat what the engines behind them say of their models."""
