"""What can go wrong with the API server, in five classes. The answer is kept; the core never sees these."""

from __future__ import annotations


class KubeError(Exception):
    """The API server's own words."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def message(self) -> str:
        return str(self)


class GoneError(KubeError):
    """404 or 410 on a write: there is nothing to write to."""


class ConflictError(KubeError):
    """409: somebody was faster, or a precondition does not hold; the next pass looks again."""


class RefusedError(KubeError):
    """400, 403, 422: it will not be accepted as it is; a person has to change something."""


class UnreachableError(KubeError):
    """No answer, or 429 and 5xx: try again later."""


_REFUSED = frozenset({400, 403, 405, 413, 415, 422})
_GONE = frozenset({404, 410})
_CONFLICT = 409


def error_for(status: int, message: str) -> KubeError:
    """The class that fits a status code; 401 counts as unreachable, since credentials rotate."""
    if status in _GONE:
        return GoneError(message, status=status)
    if status == _CONFLICT:
        return ConflictError(message, status=status)
    if status in _REFUSED:
        return RefusedError(message, status=status)
    return UnreachableError(message, status=status)
