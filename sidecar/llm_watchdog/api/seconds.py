"""Durations as Kubernetes writes them (`1m30s`, `500ms`), as plain seconds inside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TERM: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Seconds(float):
    """A duration in seconds that reads and writes Go's duration notation, the one of `format: duration` in a CRD."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `60s`, `1m30s`, `500ms` or `0`; raises ValueError with the remedy for anything else."""
        if isinstance(value, Seconds):
            return cls(value)
        text = str(value)
        if text == "0":
            return cls(0.0)
        terms = _TERM.findall(text)
        if not terms or "".join(number + unit for number, unit in terms) != text:
            raise ValueError(f"{text!r} is no duration: write it as 90s, 1m30s or 500ms")
        return cls(sum(float(number) * _UNITS[unit] for number, unit in terms))

    def __str__(self) -> str:
        """The shortest exact notation down to milliseconds, without hours and minutes: `90s`, `500ms`."""
        milliseconds = round(float(self) * 1000)
        return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """How the operator's border reads it; the watchdog itself never loads pydantic (memory)."""
        from pydantic_core import core_schema  # noqa: PLC0415

        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )
