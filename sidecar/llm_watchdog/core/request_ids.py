"""Ids of the watchdog's own requests: recognisable, of one length in a process, and none the beginning of another.

SGLang aborts every request whose id begins with the one that is named, so the end of an id is marked too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

TERMINATOR: Final = "~"
"""In no name of a pod or host, so it stands at the end of an id and nowhere else."""
TOKEN_BYTES: Final = 8
"""Of a process: a later one must not reuse the ids of requests that may still hang in the engine."""
DIGITS: Final = 9
"""One canary a second would take thirty years to use them up."""

_OWN: Final = re.compile(rf"llm-watchdog-[^{TERMINATOR}]+-[0-9a-f]{{{2 * TOKEN_BYTES}}}-[0-9]{{{DIGITS}}}{TERMINATOR}")


def request_id(pod: str, token: str, number: int) -> str:
    """Of the `number`th request of the process that drew `token`."""
    return f"llm-watchdog-{pod.replace(TERMINATOR, '-')}-{token}-{number % 10**DIGITS:0{DIGITS}}{TERMINATOR}"


def whole(ids: Iterable[str]) -> tuple[str, ...]:
    """Those that are own ids from their beginning to their end; what is cut or empty may be anybody's."""
    return tuple(each for each in ids if _OWN.fullmatch(each))
