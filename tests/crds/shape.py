"""One notation for a schema, read from a CRD on one side and from dataclasses and pydantic models on the other."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from llm_watchdog.api.amount import Amount
from llm_watchdog.api.document import camel, encode
from llm_watchdog.api.seconds import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OPAQUE = "object without a schema"
ABSENT = "no default"
SCALARS: dict[type, str] = {
    Seconds: "string/duration",
    Amount: "int-or-string",
    datetime: "string/date-time",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What one field may hold, below its path."""

    kind: str
    required: bool
    default: Any = ABSENT
    enum: tuple[Any, ...] = ()


Shapes = dict[str, Shape]


def of_record(record: type, path: str = "") -> Shapes:
    """Every field of a record and of the records in it, by its path in a document."""
    shapes: Shapes = {}
    for name, hint, default in _members(record):
        kind, enum, nested = _read(hint)
        where = f"{path}.{camel(name)}"
        shapes[where] = Shape(kind, required=default is MISSING, default=_shown(default), enum=enum)
        if nested is not None:
            shapes |= of_record(nested, f"{where}[]" if kind == "array" else where)
    return shapes


def _members(record: type) -> Iterator[tuple[str, Any, Any]]:
    if issubclass(record, BaseModel):
        hints = get_type_hints(record)
        for name, field in record.model_fields.items():
            yield name, hints[name], MISSING if field.is_required() else field.default
        return
    assert is_dataclass(record)
    hints = get_type_hints(record)
    for each in fields(record):
        factory = each.default_factory
        yield each.name, hints[each.name], each.default if factory is MISSING else factory()


def _shown(default: Any) -> Any:
    """As the CRD writes it: a record's defaults stand at its own fields."""
    if default is MISSING or default is None:
        return ABSENT
    if isinstance(default, BaseModel) or is_dataclass(default):
        return {}
    return encode(default)


def _read(hint: Any) -> tuple[str, tuple[Any, ...], type | None]:
    """Kind, enum, and the record inside."""
    hint = _without_none(hint)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        assert set(get_args(hint)) == {int, str}, hint
        return "int-or-string", (), None
    if origin is Literal:
        return "integer", get_args(hint), None
    if origin is dict:
        return OPAQUE, (), None
    if origin is list:
        kind, enum, nested = _read(get_args(hint)[0])
        return ("array" if nested else f"array of {kind}"), enum, nested
    return _read_class(hint)


def _read_class(hint: type) -> tuple[str, tuple[Any, ...], type | None]:
    if issubclass(hint, Enum):
        return "string", tuple(member.value for member in hint), None
    if hint in SCALARS:
        return SCALARS[hint], (), None
    return "object", (), hint


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, UnionType) or NoneType not in get_args(hint):
        return hint
    (inner,) = (each for each in get_args(hint) if each is not NoneType)
    return inner


def of_schema(schema: Mapping[str, Any], opaque: frozenset[str] = frozenset(), path: str = "") -> Shapes:
    """Every declared field of a structural schema; `opaque` paths are not entered."""
    shapes: Shapes = {}
    required = set(schema.get("required", ()))
    for name, each in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        items = each.get("items", {})
        enum = tuple(each.get("enum") or items.get("enum") or ())
        kind = OPAQUE if where in opaque else _kind(each)
        shapes[where] = Shape(kind, required=name in required, default=each.get("default", ABSENT), enum=enum)
        if where not in opaque:
            shapes |= of_schema(items, opaque, f"{where}[]") if kind == "array" else of_schema(each, opaque, where)
    return shapes


def _kind(schema: Mapping[str, Any]) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    if schema["type"] == "array":
        return "array" if "properties" in schema["items"] else f"array of {_kind(schema['items'])}"
    if schema["type"] == "string" and "format" in schema:
        return f"string/{schema['format']}"
    return str(schema["type"])
