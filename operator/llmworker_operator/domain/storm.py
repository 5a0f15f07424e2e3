"""A thing that happens again and again is told less and less often, with its number. Pure.

Ten thousand repetitions make fourteen Events: the 1st, 2nd, 4th, 8th and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Self

QUIET: Final = timedelta(hours=1)
"""Without a repetition for this long it is news again; also how long the API server keeps Events by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How often the same was said of the same object."""

    count: int
    first: datetime
    last: datetime

    @classmethod
    def begin(cls, now: datetime) -> Self:
        return cls(count=1, first=now, last=now)

    def again(self, now: datetime) -> Storm:
        """One more, or the first of another storm."""
        return Storm.begin(now) if self.over(now) else replace(self, count=self.count + 1, last=now)

    def over(self, now: datetime) -> bool:
        return now - self.last >= QUIET

    @property
    def told(self) -> bool:
        """The powers of two."""
        return self.count & (self.count - 1) == 0
