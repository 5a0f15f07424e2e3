"""Calls that are never sent, or only while something is known: they would kill the engine, or hit its users.

Each kind of engine names its own. Nothing known is nothing allowed: a call that needs a fact is refused without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_watchdog.engines.dialect import Call


class Fact(StrEnum):
    """What may be known of an engine at the moment of a call. Whoever sends the call has to have looked."""

    IDLE = "Idle"
    """Nothing runs or waits in it, and nobody can send it anything."""
    AWAKE = "Awake"
    """All of its memory is mapped."""
    RELEASED = "Released"
    """All that the call would map was released before, and not mapped since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """A call, by its path and, where that is not all of it, by what it says. Every condition has to hold."""

    path: str
    why: str
    """The rest of a sentence that begins with the call."""
    unless: frozenset[Fact] | None = None
    """Sent only while all of these are known; None: never."""
    query: str = ""
    """Only with this parameter in the query, whatever its value is."""
    field: str = ""
    """Only with this field in the body, whatever its value is."""
    without: str = ""
    """Only where this field of the body is missing or names nothing."""

    def applies(self, call: Call) -> bool:
        """Is it this call?"""
        asked, body = urlsplit(call.path), call.body or {}
        if asked.path.rstrip("/") != self.path:
            return False
        if self.query and self.query not in parse_qs(asked.query, keep_blank_values=True):
            return False
        if self.field and self.field not in body:
            return False
        return not (self.without and _names_something(body.get(self.without)))


def refusal(call: Call, forbidden: Iterable[Forbidden], known: frozenset[Fact]) -> str:
    """Why it is not sent; empty: it may be."""
    for rule in forbidden:
        if rule.applies(call) and (rule.unless is None or not rule.unless <= known):
            lacking = sorted((rule.unless or frozenset()) - known)
            needs = f", and it is not known to be {' and '.join(lacking).lower()}" if lacking else ""
            return f"{call.method} {call.path} is never sent: {rule.why}{needs}"
    return ""


def _names_something(value: object) -> bool:
    """A text, or a list of texts and of nothing else, none of them empty."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str) and item for item in value)
    return isinstance(value, str) and bool(value)
