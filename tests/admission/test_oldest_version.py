"""Every CEL rule compiles on the oldest Kubernetes that the README names.

An API server accepts in a new rule what the version before its own knew as well, so that it can be rolled back:
one version less than the README's counts. Since when a library is there is told by `baseOpts` in
k8s.io/apiserver pkg/cel/environment/base.go.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("crds/*.yaml"), *ROOT.glob("manifests/base/*.yaml")])

Version = tuple[int, int]
SINCE: Final[dict[Version, frozenset[str]]] = {
    (1, 0): frozenset(
        {
            # The language with its macros.
            *(
                "has",
                "all",
                "exists",
                "exists_one",
                "filter",
                "map",
                "size",
                "matches",
                "duration",
                "dyn",
                "int",
                "string",
            ),
            *("startsWith", "endsWith", "contains", "duration", "dyn", "int", "string"),
            # ext.Strings, version 0, and the lists of Kubernetes' own.
            *("indexOf", "lastIndexOf", "substring", "trim", "split", "replace", "lowerAscii", "isSorted", "sum"),
        }
    ),
    (1, 28): frozenset({"of", "orValue", "hasValue", "or", "value", "?.", "[?", "quantity"}),
    (1, 29): frozenset({"join", "format", "quote", "sets"}),
    (1, 30): frozenset({"ip", "cidr", "isIP", "isCIDR"}),
    (1, 32): frozenset({"two variables", "transformList", "transformMap", "transformMapEntry"}),
}
CALL = re.compile(r"\b([A-Za-z_]\w*)\(")
TWO_VARIABLES = re.compile(r"\.(?:all|exists|exists_one|existsOne)\(\s*\w+\s*,\s*\w+\s*,")


def rules(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"rule", "expression", "messageExpression"} and isinstance(value, str):
                yield value
            else:
                yield from rules(value)
    elif isinstance(node, list):
        for item in node:
            yield from rules(item)


def used(rule: str) -> set[str]:
    """Functions, macros and syntax that an old parser may not know."""
    code = re.sub(r"'[^']*'", "''", rule)
    marks = {mark for mark in ("?.", "[?") if mark in code.replace(".?", "?.")}
    return {*CALL.findall(code), *marks, *({"two variables"} if TWO_VARIABLES.search(code) else ())}


def since(rule: str) -> Version:
    """Fails for what the table does not know: look it up, and add it."""
    versions = [next((v for v, names in SINCE.items() if name in names), None) for name in used(rule)]
    assert None not in versions, f"{used(rule)} in {rule}"
    return max((v for v in versions if v), default=(1, 0))


def oldest() -> Version:
    (found,) = re.findall(r"Kubernetes 1\.(\d+) or later", (ROOT / "README.md").read_text())
    return 1, int(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_no_rule_is_newer_than_the_oldest_version(path: Path) -> None:
    newest = (1, oldest()[1] - 1)
    found = [rule for document in yaml.safe_load_all(path.read_text()) for rule in rules(document)]
    assert [rule for rule in found if since(rule) > newest] == []


def test_rules_are_found() -> None:
    counts = {path.name: sum(1 for d in yaml.safe_load_all(path.read_text()) for _ in rules(d)) for path in DOCUMENTS}
    assert {name for name, count in counts.items() if count} == {
        "llmworkers.yaml",
        "llmincidents.yaml",
        "admission.yaml",
        "warnings.yaml",
    }


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        ("self == oldSelf", (1, 0)),
        ("self.all(c, c in ['a, b, c'])", (1, 0)),
        ("self.all(key, key in ['a'] || self[key] == 'isIP()')", (1, 0)),
        ("object.?spec.orValue({}) == {}", (1, 28)),
        ("{'a': 1}[?key] == optional.of(1)", (1, 28)),
        ("'a'.format([1]) == ''", (1, 29)),
        ("isIP(self)", (1, 30)),
        ("self.labels.all(key, value, key == value)", (1, 32)),
    ],
)
def test_newer_syntax_is_told(rule: str, version: Version) -> None:
    assert since(rule) == version
