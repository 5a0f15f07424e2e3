"""A generation request as the client sent it, checked as vLLM checks it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import errors, tokenizer
from .limits import Limits
from .model import ModelKind, script
from .request import Request

_COMPLETION_TOKENS: Final = 16  # vLLM's default for /v1/completions; a chat may fill the context


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server can do, and what it makes of a prompt."""

    model: str | None
    """None: any name is taken."""
    limits: Limits
    kind: ModelKind = ModelKind.ECHO
    completion_tokens: int = _COMPLETION_TOKENS
    """The default of a completion."""


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
    logprobs: int | None = None
    """How many runners-up are told beside the log probability of each token; None: no numbers at all."""
    reasoning_tokens: int = 0
    """So many of the first tokens are no answer yet."""
    prompt_text: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    """A dialect's own."""


def parse_completion(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    _check_model(body, terms.model)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        text, tokens = prompt, tokenizer.encode(prompt)
    elif isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        text, tokens = tokenizer.decode(prompt), prompt
    else:
        raise errors.invalid_field("prompt", "one text or one list of token ids is needed")
    answer_id = f"cmpl-{name}"
    return _generation(body, text, tokens, terms, answer_id, f"{answer_id}-0", chat=False)


def parse_chat(body: Mapping[str, Any], terms: Terms, name: str) -> Generation:
    _check_model(body, terms.model)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise errors.invalid_field("messages", "a list of messages is needed")
    opening, closing = tokenizer.ROLE_MARKS
    tokens = [tokenizer.BEGIN]
    contents = [_content(message) for message in messages]
    for content in contents:
        tokens += [opening, *tokenizer.encode(content), closing]
    answer_id = f"chatcmpl-{name}"
    return _generation(body, contents[-1], tokens, terms, answer_id, answer_id, chat=True)


def _content(message: Any) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if not isinstance(content, str):
        raise errors.invalid_field("messages", "a message needs a content")
    return content


def _generation(
    body: Mapping[str, Any], text: str, prompt: list[int], terms: Terms, answer_id: str, request_id: str, *, chat: bool
) -> Generation:
    options = body.get("stream_options") or {}
    salt = body.get("cache_salt")
    if salt is not None and (not isinstance(salt, str) or not salt):
        raise errors.bad_request(
            "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)", "cache_salt"
        )
    if number(body, "n", 1) != 1:
        raise errors.bad_request("this server makes one choice for each request. (parameter=n)", "n")
    logprobs = _logprobs(body, chat=chat)
    seed = tokenizer.answer_seed(prompt, _variation(body, request_id))
    said = script(terms.kind, text, seed)
    request = Request(
        id=request_id,
        prompt=prompt or [tokenizer.BEGIN],
        seed=seed,
        max_tokens=_max_tokens(body, len(prompt), terms, chat=chat),
        min_tokens=number(body, "min_tokens", 0),
        ignore_eos=bool(body.get("ignore_eos")),
        salt=salt or "",
        bypass=body.get("cache_prompt") is False,
        script=list(said.tokens),
        ends=said.ends,
        period=said.period,
        logprobs=logprobs is not None,
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
        logprobs=logprobs,
        reasoning_tokens=said.reasoning,
        prompt_text=text,
        options=body,
    )


def _variation(body: Mapping[str, Any], request_id: str) -> str:
    """Greedy answers hang on the prompt alone; sampled ones also on the seed, or on the request where there is none."""
    if body.get("temperature") == 0:
        return ""
    seed = body.get("seed")
    return request_id if seed is None else f"{seed} {body.get('temperature', 1)}"


def _logprobs(body: Mapping[str, Any], *, chat: bool) -> int | None:
    if chat:
        return number(body, "top_logprobs", 0) if body.get("logprobs") else None
    return None if body.get("logprobs") is None else number(body, "logprobs", 0)


def _max_tokens(body: Mapping[str, Any], prompt: int, terms: Terms, *, chat: bool) -> int:
    context = terms.limits.max_model_len
    room = context - prompt
    if room < 1:
        raise errors.prompt_too_long(prompt, context)
    name = "max_completion_tokens" if chat and body.get("max_completion_tokens") else "max_tokens"
    asked = number(body, name, room if chat else min(room, terms.completion_tokens))
    if asked < 1:
        raise errors.bad_request(f"max_tokens must be at least 1, got {asked}. (parameter=max_tokens)", "max_tokens")
    if asked > context:
        raise errors.too_many_tokens(asked, context)
    return min(asked, room)


def number(body: Mapping[str, Any], name: str, default: int) -> int:
    """An integer field. Raises ApiError."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.invalid_field(name, "an integer is needed")
    return value


def _check_model(body: Mapping[str, Any], served: str | None) -> None:
    asked = body.get("model")
    if served is not None and asked is not None and asked != served:
        raise errors.unknown_model(str(asked), served)
