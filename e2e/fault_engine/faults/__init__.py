"""Every fault that the engine can be told to have: the tables in `catalogue/`, one file per family.

A new fault is an entry there. A new kind of misbehaviour is an effect in `effects/`, with the hooks that it changes.
"""

import tomllib
from pathlib import Path
from typing import Final

from .effects.effect import Effect
from .entry import CatalogueError, FaultEntry, read_entry

CATALOGUE: Final = Path(__file__).with_name("catalogue")


class UnknownFaultError(ValueError):
    """No fault of that name, or an argument that it cannot take."""


def _read_catalogue() -> dict[str, FaultEntry]:
    entries: dict[str, FaultEntry] = {}
    for path in sorted(CATALOGUE.glob("*.toml")):
        for name, document in tomllib.loads(path.read_text()).items():
            if name in entries:
                raise CatalogueError(f"{path.name}: {name} is there twice")
            entries[name] = read_entry(name, document)
    return entries


FAULTS: Final = _read_catalogue()


def make_fault(name: str, argument: str | None) -> tuple[Effect, ...]:
    entry = FAULTS.get(name)
    if entry is None:
        raise UnknownFaultError(f"no fault is called {name!r}; there are {', '.join(sorted(FAULTS))}")
    try:
        return entry.make(argument)
    except ValueError as error:
        raise UnknownFaultError(f"fault {name}: {error}") from error
