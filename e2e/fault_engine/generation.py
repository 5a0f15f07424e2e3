"""A generation request as the client sent it, checked as vLLM checks it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import errors, tokenizer
from .limits import Limits
from .scheduler import Request

_COMPLETION_TOKENS: Final = 16  # vLLM's default for /v1/completions; a chat may fill the context


@dataclass(frozen=True, slots=True)
class Generation:
    """What is asked of the engine (`request`) and how the answer is to look."""

    request: Request
    answer_id: str
    chat: bool
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    continuous_usage: bool
    return_token_ids: bool


def parse_completion(body: Mapping[str, Any], model: str, limits: Limits, name: str) -> Generation:
    _check_model(body, model)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        tokens = tokenizer.encode(prompt)
    elif isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        tokens = prompt
    else:
        raise errors.invalid_field("prompt", "one text or one list of token ids is needed")
    answer_id = f"cmpl-{name}"
    return _generation(body, tokens, limits, answer_id, f"{answer_id}-0", chat=False)


def parse_chat(body: Mapping[str, Any], model: str, limits: Limits, name: str) -> Generation:
    _check_model(body, model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise errors.invalid_field("messages", "a list of messages is needed")
    opening, closing = tokenizer.ROLE_MARKS
    tokens = [tokenizer.BEGIN]
    for message in messages:
        tokens += [opening, *tokenizer.encode(_content(message)), closing]
    answer_id = f"chatcmpl-{name}"
    return _generation(body, tokens, limits, answer_id, answer_id, chat=True)


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise errors.invalid_field("messages", "a message needs a content")
    return content


def _generation(
    body: Mapping[str, Any], prompt: list[int], limits: Limits, answer_id: str, request_id: str, *, chat: bool
) -> Generation:
    options = body.get("stream_options") or {}
    salt = body.get("cache_salt")
    if salt is not None and (not isinstance(salt, str) or not salt):
        raise errors.bad_request(
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)", "cache_salt"
        )
    if _number(body, "n", 1) != 1:
        raise errors.bad_request("this server makes one choice for each request. (parameter=n)", "n")
    request = Request(
        id=request_id,
        prompt=prompt or [tokenizer.BEGIN],
        seed=tokenizer.answer_seed(prompt, _variation(body, request_id)),
        max_tokens=_max_tokens(body, len(prompt), limits, chat=chat),
        min_tokens=_number(body, "min_tokens", 0),
        ignore_eos=bool(body.get("ignore_eos")),
        salt=salt or "",
    )
    stop = body.get("stop") or ()
    return Generation(
        request=request,
        answer_id=answer_id,
        chat=chat,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=bool(body.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("include_usage") and options.get("continuous_usage_stats")),
        return_token_ids=bool(body.get("return_token_ids")),
    )


def _variation(body: Mapping[str, Any], request_id: str) -> str:
    """Greedy answers hang on the prompt alone; sampled ones also on the seed, or on the request where there is none."""
    if body.get("temperature") == 0:
        return ""
    seed = body.get("seed")
    return request_id if seed is None else f"{seed} {body.get('temperature', 1)}"


def _max_tokens(body: Mapping[str, Any], prompt: int, limits: Limits, *, chat: bool) -> int:
    room = limits.max_model_len - prompt
    if room < 1:
        raise errors.prompt_too_long(prompt, limits.max_model_len)
    name = "max_completion_tokens" if chat and body.get("max_completion_tokens") else "max_tokens"
    asked = _number(body, name, room if chat else min(room, _COMPLETION_TOKENS))
    if asked < 1:
        raise errors.bad_request(f"max_tokens must be at least 1, got {asked}. (parameter=max_tokens)", "max_tokens")
    if asked > limits.max_model_len:
        raise errors.too_many_tokens(asked, limits.max_model_len)
    return min(asked, room)


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.invalid_field(name, "an integer is needed")
    return value


def _check_model(body: Mapping[str, Any], served: str) -> None:
    asked = body.get("model")
    if asked is not None and asked != served:
        raise errors.unknown_model(str(asked), served)
