"""Bodies from the wire: whatever is no JSON object is an empty one."""

from __future__ import annotations

import json
from typing import Any


def json_object(body: bytes | str) -> dict[str, Any]:
    """Decode; never raises."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
