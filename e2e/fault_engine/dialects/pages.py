"""Metrics pages in the text format, from plain values. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    kind: str
    """`gauge`, `counter` or `histogram`, as it is declared."""
    value: float
    labels: Mapping[str, str]
    suffix: str = ""


def page(series: Iterable[Series]) -> bytes:
    lines: list[str] = []
    declared: set[str] = set()
    for one in series:
        if one.name not in declared:
            declared.add(one.name)
            lines += [f"# HELP {one.name} {one.name.partition(':')[2] or one.name}", f"# TYPE {one.name} {one.kind}"]
        labels = ",".join(f'{name}="{value}"' for name, value in one.labels.items())
        lines.append(f"{one.name}{one.suffix}{f'{{{labels}}}' if labels else ''} {one.value!r}")
    return "".join(f"{line}\n" for line in lines).encode()
