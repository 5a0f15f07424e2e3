"""docs/api.md, made from the CRDs: `python -m tests.crds.reference > docs/api.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CRDS = Path(__file__).parents[2] / "crds"
INIT = ".initContainers[]"
"""Held to the same rules as containers."""
TEMPLATE = "spec.template"
"""Declares what rules need; its reference is Kubernetes' own."""
HEAD = """<!-- Made from crds/ by `python -m tests.crds.reference > docs/api.md`; a test compares the two. -->

# API reference

Group `llmworker.dev`, version `v1alpha1`. `kubectl explain llmworker.spec` tells the same in a terminal. Durations are
written as `90s`, `1m30s` or `500ms`.
"""


def reference() -> str:
    parts = [HEAD]
    for name in ("llmworkers", "llmincidents"):
        spec = yaml.safe_load((CRDS / f"{name}.yaml").read_text())["spec"]
        schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
        own = {key: schema["properties"][key] for key in ("spec", "status")}
        parts.append(f"\n## {spec['names']['kind']}\n\n{schema['description']}\n")
        parts.append("\n| field | type | default | |\n|---|---|---|---|\n")
        parts += [f"| {' | '.join(row)} |\n" for row in rows({**schema, "properties": own}, "")]
        parts.append("\nRefused at `kubectl apply`, beyond types and bounds:\n\n")
        parts += [f"- `{field}`: {message}\n" for field, message in _rules(schema, "") if INIT not in field]
    return "".join(parts)


def rows(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    for name, each in schema.get("properties", {}).items():
        where = f"{path}.{name}" if path else name
        if each.get("description", "").startswith("Not supported"):
            continue
        default = each.get("default")
        shown = "" if default is None or isinstance(default, dict) or default == "" else f"`{default}`"
        if name in schema.get("required", ()):
            shown = "required"
        yield f"`{where}`", _type(each), shown, each.get("description", "").replace("|", "\\|")
        if where == TEMPLATE:
            continue
        yield from rows(each, where)
        yield from rows(each.get("items", {}), f"{where}[]")


def _type(schema: Mapping[str, Any]) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "number or percentage"
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema["type"])


def _rules(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield (path + rule.get("fieldPath", "")).lstrip("."), rule["message"]
    for name, each in schema.get("properties", {}).items():
        yield from _rules(each, f"{path}.{name}")
    for inner, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if inner in schema:
            yield from _rules(schema[inner], path + suffix)


if __name__ == "__main__":
    sys.stdout.write(reference())
