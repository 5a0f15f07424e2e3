"""Bodies from the wire: whatever is no JSON object is an empty one."""

from __future__ import annotations

import json
import math
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


def as_number(value: object) -> float | None:
    """A finite number, or None: Python's `json` reads and writes NaN as such."""
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_object(value: object) -> dict[str, Any]:
    """Itself, or an empty one."""
    return value if isinstance(value, dict) else {}
