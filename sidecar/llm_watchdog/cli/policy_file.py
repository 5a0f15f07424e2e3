"""The policy file of `llm-watchdog run`: YAML with the schema of `spec.watchdog`.

Strict, as there is no API server that would refuse a misspelt field: every error is told, each with its field's path.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import yaml

from llm_watchdog.api.amount import Amount
from llm_watchdog.api.document import camel
from llm_watchdog.api.policy import WatchdogPolicy
from llm_watchdog.api.seconds import Seconds
from llm_watchdog.cli.policy_rules import broken_rules

_WORDS: Final = {int: "a whole number", bool: "true or false", str: "text"}


class PolicyError(ValueError):
    """One line for each error."""


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """What the file says. `states_mode`: it names a mode itself, which a default must not replace."""

    watchdog: WatchdogPolicy
    states_mode: bool


class _UniqueKeys(yaml.SafeLoader):
    """YAML 1.2 forbids a key that stands twice; PyYAML would take the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands here twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_policy(text: str) -> PolicyDocument:
    """Raises PolicyError."""
    try:
        document = yaml.load(text, _UniqueKeys)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise PolicyError(f"no YAML: {' '.join(str(error).split())}") from error
    errors: list[str] = []
    watchdog = _record(WatchdogPolicy, {} if document is None else document, "", errors)
    if not errors:
        errors += broken_rules(watchdog)
    if errors:
        raise PolicyError("\n".join(errors))
    return PolicyDocument(watchdog, states_mode=isinstance(document, dict) and document.get("mode") is not None)


def _record(record: type[Any], document: object, path: str, errors: list[str]) -> Any:
    if not isinstance(document, dict):
        errors.append(f"{path or 'the document'}: {_shown(document)} is no mapping")
        return record() if not path else None
    hints = get_type_hints(record)
    known = {camel(field.name): field for field in fields(record)}
    unknown = (str(key) for key in document if key not in known)
    errors += [f"{_join(path, key)}: unknown field, there is {', '.join(known)}" for key in unknown]
    values: dict[str, Any] = {}
    for key, field in known.items():
        if document.get(key) is not None:
            values[field.name] = _value(hints[field.name], document[key], _join(path, key), errors)
        elif field.default is MISSING and field.default_factory is MISSING:
            errors.append(f"{_join(path, key)}: is missing")
    return None if errors else record(**values)


def _value(kind: Any, value: object, path: str, errors: list[str]) -> Any:
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)
    if is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, path, errors)
    if get_origin(kind) is list:
        return _list(get_args(kind)[0], value, path, errors)
    try:
        return _scalar(kind, value)
    except ValueError as error:
        errors.append(f"{path}: {error}")
        return None


def _list(kind: Any, value: object, path: str, errors: list[str]) -> list[Any] | None:
    if not isinstance(value, list):
        errors.append(f"{path}: {_shown(value)} is no list")
        return None
    return [_value(kind, item, f"{path}[{number}]", errors) for number, item in enumerate(value)]


def _scalar(kind: Any, value: object) -> Any:
    if kind in (Seconds, Amount):
        return kind.parse(value)
    if issubclass(kind, Enum):
        members = [member.value for member in kind]
        if value not in members:
            hint = '; write "Off" in quotes: without them YAML reads it as false' if value is False else ""
            raise ValueError(f"{_shown(value)} is none of {', '.join(members)}{hint if 'Off' in members else ''}")
        return kind(value)
    if type(value) is not kind:
        raise ValueError(f"{_shown(value)} is not {_WORDS[kind]}")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"{value} is below 0")
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: object) -> str:
    return repr(value) if len(repr(value)) < 60 else type(value).__name__  # noqa: PLR2004
