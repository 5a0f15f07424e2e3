"""A number of replicas, or a percentage of them (`2`, `25%`), as Kubernetes writes an int-or-string."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_PERCENT: Final = re.compile(r"100%|[1-9]?[0-9]%")
_LARGEST: Final = 2**31 - 1
"""A JSON number of the API server's `int-or-string` is an int32."""


class Amount(str):
    """Held as it is written; which number it is depends on the replicas, and on which side is the safe one."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `2` or `25%`; raises ValueError with the remedy for anything else."""
        if isinstance(value, Amount):
            return cls(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= _LARGEST:
                raise ValueError(f"{value} is below 0" if value < 0 else f"{value} is above {_LARGEST}")
            return cls(value)
        if isinstance(value, str) and _PERCENT.fullmatch(value):
            return cls(value)
        shown = repr(value) if isinstance(value, str | float | bool) else type(value).__name__
        raise ValueError(f"{shown} is no number of replicas: write a whole number, or a percentage from 0% to 100%")

    @property
    def document(self) -> int | str:
        """As it stands in a manifest."""
        return str(self) if self._percent is not None else int(self)

    def at_most(self, replicas: int) -> int:
        """How many of `replicas` may be taken away at once.

        A percentage is rounded down, as rounded up it could take more than was allowed, but to 1 at least (unless it
        is `0%`), as rounded to 0 it would hold everything back for ever. However large it is, it never takes the last
        replica of several. A number is meant as it stands.
        """
        percent = self._percent
        if percent is None:
            return int(self)
        return max(1, min(replicas * percent // 100, replicas - 1)) if percent else 0

    def at_least(self, replicas: int) -> int:
        """How many of `replicas` it takes to make up this share of them: a percentage is rounded up."""
        percent = self._percent
        return int(self) if percent is None else -(-replicas * percent // 100)

    @property
    def _percent(self) -> int | None:
        return int(self[:-1]) if self.endswith("%") else None

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """How the operator's border reads it; the watchdog itself never loads pydantic (memory)."""
        from pydantic_core import core_schema  # noqa: PLC0415

        return core_schema.no_info_plain_validator_function(cls.parse)
