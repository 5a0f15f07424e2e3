"""A Prometheus page, of which few lines are wanted: these are picked first, then parsed by the library."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping


class Sums:
    """The wanted samples of a page."""

    def __init__(self, found: dict[str, list[tuple[Mapping[str, str], float]]]) -> None:
        self._found = found

    def __contains__(self, name: str) -> bool:
        """Is it on the page?"""
        return name in self._found

    def get(self, name: str) -> float | None:
        """The sum over all label sets."""
        return sum(value for _, value in self._found[name]) if name in self._found else None

    def mean(self, name: str) -> float | None:
        """Over all label sets: a share of something is not added up over ranks."""
        values = [value for _, value in self.samples(name)]
        return sum(values) / len(values) if values else None

    def samples(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """One by one."""
        yield from self._found.get(name, ())


def read_sums(page: str, wanted: Container[str]) -> Sums | None:
    """None if the page is no metrics page; a number that is none is left out."""
    lines = [line for line in page.splitlines() if line.partition(" ")[0].partition("{")[0] in wanted]
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                if math.isfinite(sample.value):
                    found.setdefault(sample.name, []).append((sample.labels, sample.value))
    except (ValueError, IndexError, KeyError):
        return None
    return Sums(found)
