"""Every fault that the engine can be told to have: one table, one file per family.

A new fault is a class with the hooks it changes and an entry in its family's `KINDS`.
"""

from typing import Final

from . import admission, death, hang, pace
from .kind import Fault, FaultKind

KINDS: Final[dict[str, FaultKind]] = {
    kind.name: kind for family in (hang, death, pace, admission) for kind in family.KINDS
}


class UnknownFaultError(ValueError):
    """No fault of that name, or an argument that it cannot take."""


def make_fault(name: str, argument: str | None) -> Fault:
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownFaultError(f"no fault is called {name!r}; there are {', '.join(sorted(KINDS))}")
    try:
        return kind.make(argument)
    except ValueError as error:
        raise UnknownFaultError(f"fault {name}: {error}") from error
