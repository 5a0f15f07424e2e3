"""vLLM's error bodies, word for word. Pure."""

from typing import Any, Final

ENGINE_DEAD: Final = "EngineCore encountered an issue. See stack trace (above) for the root cause."

_KINDS: Final = {
    400: "BadRequestError",
    401: "Unauthorized",
    403: "Forbidden",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


class ApiError(Exception):
    """An answer that is an error: HTTP status and the body's fields."""

    def __init__(self, status: int, message: str, kind: str, param: str | None = None, *, plain: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.plain = plain  # the message alone, as the web framework writes it
        self.body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": status}}


class EngineDeadError(ApiError):
    def __init__(self) -> None:
        super().__init__(500, ENGINE_DEAD, "InternalServerError")


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, "BadRequestError", param)


def unknown_model(name: str, served: str) -> ApiError:
    message = f"The model `{name}` does not exist. Valid aliases: {served}."
    return ApiError(404, message, "NotFoundError", "model")


def invalid_json(position: int, reason: str) -> ApiError:
    place = f"body.{position}"
    detail = (
        f"{{'type': 'json_invalid', 'loc': '{place}', 'msg': 'JSON decode error', "
        f"'input': '<dict of 0 items>', 'ctx': {{'error': '{reason}'}}}}"
    )
    return ApiError(400, f"1 validation error:\n  {detail}", "Bad Request", place)


def invalid_field(field: str, reason: str) -> ApiError:
    detail = f"{{'type': 'value_error', 'loc': 'body.{field}', 'msg': '{reason}'}}"
    return ApiError(400, f"1 validation error:\n  {detail}", "Bad Request", f"body.{field}")


def too_many_tokens(asked: int, limit: int) -> ApiError:
    return bad_request(
        f"max_tokens={asked} cannot be greater than max_model_len={limit}. "
        f"Please request fewer output tokens. (parameter=max_tokens, value={asked})",
        "max_tokens",
    )


def prompt_too_long(prompt: int, limit: int) -> ApiError:
    return bad_request(
        f"This model's maximum context length is {limit} tokens. However, your prompt contains {prompt} input tokens. "
        f"Please reduce the length of the input prompt. (parameter=input_tokens, value={prompt})",
        "input_tokens",
    )


def no_such_route() -> ApiError:
    return ApiError(404, "Not Found", "Not Found")


def wrong_method() -> ApiError:
    return ApiError(405, "Method Not Allowed", "Method Not Allowed")


def turned_away(status: int, message: str, *, plain: bool = False) -> ApiError:
    return ApiError(status, message, _KINDS.get(status, "InternalServerError"), plain=plain)
