"""The pure parts compute and do nothing else: what they import is on a list, and what is not on it is refused.

A list of what is forbidden would have to know every module that there is. import-linter holds the layers; it has no
contract that names what is allowed, and takes `urllib.parse` and `urllib.request` for one module.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = {"llm_watchdog": ROOT / "sidecar", "llmworker_operator": ROOT / "operator"}

COMPUTING: Final = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "itertools",
    "json", "math", "operator", "re", "statistics", "typing", "zlib",
}  # fmt: skip
"""Of the standard library: no clock but `datetime`'s, no chance, no files, no processes, no threads, no network."""
PURE: Final = {
    "llm_watchdog.api": {"dacite", "pydantic_core"},
    "llm_watchdog.core": {"llm_watchdog.api"},
    "llm_watchdog.engines": {
        "llm_watchdog.api", "llm_watchdog.core", "prometheus_client.parser", "urllib.parse",
        "datetime.now",  # Ollama tells by the time of day when it unloads a model; tests hand in another clock
    },
    "llmworker_operator.models": {"llm_watchdog.api", "pydantic"},
    "llmworker_operator.domain": {"llm_watchdog.api", "llmworker_operator.models"},
    "llmworker_operator.builders": {"llm_watchdog.api"},
}  # fmt: skip
"""What each may import beside itself and COMPUTING; a package stands for all that is in it."""
DOING: Final = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}
"""Built-in functions that reach outside, or import what no import names."""
CLOCK: Final = {"now", "today", "utcnow"}
"""Of `datetime` and `date`. `now` is an argument here."""
ELSEWHERE: Final = ("TYPE_CHECKING", "__name__ == '__main__'")
"""Conditions of blocks that a program which imports the module never runs."""


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The tree below a node, without the blocks that do not run when it is imported or called."""
    skipped = node.body if isinstance(node, ast.If) and ast.unparse(node.test) in ELSEWHERE else []
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield child
            yield from running(child)


def imports(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """The names by which a module may be meant: `from a import b` is `a` or `a.b`. A relative one begins with a dot."""
    if isinstance(node, ast.Import):
        yield from ((alias.name,) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        yield from ((module, f"{module}.{alias.name}") for alias in node.names)


def is_among(module: str, allowed: AbstractSet[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


def reads_the_clock(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in CLOCK
        and ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date"}
    )


def impurities(source: str, allowed: AbstractSet[str]) -> list[str]:
    """What a module does beyond computing with what it may import, each by the name that it has in the source."""
    found = []
    for node in running(ast.parse(source)):
        found += [names[-1] for names in imports(node) if not any(is_among(name, allowed) for name in names)]
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in DOING:
            found.append(node.id)
        if reads_the_clock(node) and ast.unparse(node) not in allowed:
            found.append(ast.unparse(node))
    return found


def modules_of(part: str) -> list[Path]:
    path = FOLDERS[part.partition(".")[0]].joinpath(*part.split("."))
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


@pytest.mark.parametrize("part", PURE)
def test_the_pure_parts_only_compute(part: str) -> None:
    modules = modules_of(part)
    assert modules
    allowed = COMPUTING | PURE[part] | {part}
    found = {path.relative_to(ROOT): impurities(path.read_text(), allowed) for path in modules}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("part", PURE)
def test_nothing_is_allowed_that_no_module_uses(part: str) -> None:
    def uses(allowed: AbstractSet[str]) -> bool:
        return any(impurities(path.read_text(), allowed) for path in modules_of(part))

    everything = COMPUTING | PURE[part] | {part}
    assert {each for each in PURE[part] if not uses(everything - {each})} == set()


@pytest.mark.parametrize("module", ["asyncio", "os", "pathlib", "random", "socket", "subprocess", "threading", "time"])
def test_what_reaches_outside_is_refused(module: str) -> None:
    assert impurities(f"import {module}", COMPUTING) == [module]
    assert impurities(f"def f():\n    from {module} import x\n    return x", COMPUTING) == [f"{module}.x"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import json, os.path as p", ["os.path"]),
        ("from urllib import parse", []),
        ("from urllib.parse import urlsplit", []),
        ("from urllib import request", ["urllib.request"]),
        ("import urllib", ["urllib"]),
        ("import mathematics", ["mathematics"]),
        ("from . import neighbour", ["..neighbour"]),
        ("from ..probes import canary", ["..probes.canary"]),
        ("if TYPE_CHECKING:\n    from pathlib import Path", []),
        ("if __name__ == '__main__':\n    import sys\n    print(sys.argv)", []),
        ("if not TYPE_CHECKING:\n    import os", ["os"]),
        ("if TYPE_CHECKING:\n    import os\nelse:\n    import time", ["time"]),
        ("try:\n    import orjson\nexcept ImportError:\n    import json", ["orjson"]),
        ("print('seen')", ["print"]),
        ("hook = open", ["open"]),
        ("@dataclass\nclass Socket:\n    open: bool", []),
        ("__import__('os').getpid()", ["__import__"]),
        ("at = datetime.now(UTC)", ["datetime.now"]),
        ("at = datetime.datetime.utcnow", ["datetime.datetime.utcnow"]),
        ("at = date.today()", ["date.today"]),
        ("at = situation.now", []),
    ],
)
def test_what_a_module_does_beside_computing(source: str, found: list[str]) -> None:
    assert impurities(source, COMPUTING | {"urllib.parse"}) == found
