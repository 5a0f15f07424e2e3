"""Kubernetes' timestamps, read and written. Knows no clock."""

from __future__ import annotations

from datetime import UTC, datetime


def read_time(value: str | None) -> datetime | None:
    """RFC 3339 as the API server writes it; None for an absent or unreadable one."""
    if not value:
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        return None


def write_time(value: datetime) -> str:
    """Whole seconds, as `metav1.Time` has them."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
