"""What a dialect is to the server: routes, permissions, errors and what it counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ApiError
from ..meter import Meter
from ..service import Routes
from ..settings import Settings


def under_v1(path: str) -> bool:
    """As in vLLM: metrics and all control endpoints are open."""
    return path.startswith("/v1")


def no_path(path: str) -> bool:
    """There is no key at all."""
    del path
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    name: str
    routes: Callable[[Settings], Routes]
    meter: Callable[[str], Meter] = Meter
    """From the model's name."""
    guarded: Callable[[str], bool] = under_v1
    """Does this path need the key?"""
    any_model: bool = False
    """A request for another model is answered all the same."""
    completion_tokens: int = 16
    error_body: Callable[[ApiError], Any] = lambda error: error.body
    unauthorized: Any = None
    limited: bool = False
    """The web server has permits of its own."""
    sticky: bool = False
    """Those that wait for one stay in the queue when their client leaves."""
    overload: Callable[[], ApiError] | None = None
    """The answer when none is free; None: it waits."""
    varies: bool = False
    """`vary: Origin` is sent."""
    errors_as_null: bool = False
    """What went wrong behind it is answered with 200 and `null`."""
    shows_loading: bool = False
    """The port is open while the model loads, and every path answers 503."""
