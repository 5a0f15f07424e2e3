"""Whether a live object still says what was applied. Pure."""

from __future__ import annotations

from typing import Any

_LIST_KEYS = ("name", "uid", "containerPort", "port", "mountPath", "conditionType", "type")
"""Merge keys of the list-maps that children use; other lists are compared item by item."""


def holds(desired: Any, live: Any) -> bool:
    """Every field of `desired` is in `live` with the same value; what others or the server added does not count."""
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            holds(value, live.get(key)) if value is not None else live.get(key) is None
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        return isinstance(live, list) and _holds_list(desired, live)
    return bool(desired == live)


def _holds_list(desired: list[Any], live: list[Any]) -> bool:
    if all(isinstance(item, dict) for item in desired) and desired:
        key = next((k for k in _LIST_KEYS if all(k in item for item in desired)), None)
        if key:
            found = {item.get(key): item for item in live if isinstance(item, dict)}
            return all(item[key] in found and holds(item, found[item[key]]) for item in desired)
    return len(desired) == len(live) and all(map(holds, desired, live))
