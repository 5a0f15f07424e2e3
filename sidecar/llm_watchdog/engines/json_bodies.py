"""Bodies from the wire: whatever is no JSON object is an empty one."""

from __future__ import annotations

import json
from typing import Any


def json_object(body: bytes | str) -> dict[str, Any]:
    """Decode; never raises."""
    value = json_value(body)
    return value if isinstance(value, dict) else {}


def json_value(body: bytes | str, otherwise: object = None) -> object:
    """Any JSON document, or what stands for one that is none; never raises."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return otherwise
