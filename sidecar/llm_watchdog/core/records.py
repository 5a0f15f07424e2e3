"""`dataclasses.replace` for the large records that change many times a second: the window, the replica, the situation.

The library's own asks for each field by name and hands all of them to `__init__`, 39 of a window. These records have no
slots, so a new one is a copy of a dictionary: a tenth of the time, of what was a tenth of an idle watchdog's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

__all__ = ["changed"]

if TYPE_CHECKING:
    # With its type checks: a field that there is not, or of another type, is a mistake before anything runs.
    from dataclasses import replace as changed
else:
    T = TypeVar("T")

    def changed(record: T, /, **changes: object) -> T:
        """The same record with other values. Of a frozen dataclass without slots and without `__post_init__`."""
        fields = record.__dict__
        if not changes.keys() <= fields.keys():
            raise TypeError(f"{type(record).__name__} has no field {', '.join(sorted(changes.keys() - fields.keys()))}")
        made = object.__new__(type(record))
        object.__setattr__(made, "__dict__", {**fields, **changes})
        return made
