"""Documents (JSON) to frozen records and back: camelCase outside, snake_case inside, a path in every error."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from dacite import Config, DaciteError, from_dict

from llm_watchdog.api.amount import Amount
from llm_watchdog.api.seconds import Seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


class DocumentError(ValueError):
    """A document does not fit its record; the message names the field."""


def camel(name: str) -> str:
    """`first_token_deadline` to `firstTokenDeadline`."""
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def _timestamp(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))


_CONFIG = Config(
    type_hooks={Seconds: Seconds.parse, Amount: Amount.parse, datetime: _timestamp, float: float},
    cast=[Enum],
    convert_key=camel,
)


def decode(record: type[T], document: Mapping[str, Any]) -> T:
    """Read a record; unknown keys are ignored, so that an older program reads a newer document.

    Raises DocumentError.
    """
    try:
        return from_dict(record, document, config=_CONFIG)
    except (DaciteError, ValueError, TypeError) as error:
        raise DocumentError(f"{record.__name__}: {error}") from error


def encode(value: Any) -> Any:
    """The JSON form of a record; fields that are None are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((camel(f.name), getattr(value, f.name)) for f in fields(value))
        return {key: encode(item) for key, item in pairs if item is not None}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Seconds):
        return str(value)
    if isinstance(value, Amount):
        return value.document
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value
