"""The tables of manifests against the schema: a rule without a manifest that breaks it may well do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from llmworker_operator.models import LLMWorkerSpec
from tests.crds.shape import of_record
from tests.crds.test_invalid import MANIFESTS, expected

ROOT = Path(__file__).parents[2]
CRD = yaml.safe_load((ROOT / "crds" / "llmworkers.yaml").read_text())
FULL = ("manifests/samples/full.yaml", "tests/crds/valid/fully_written_out.yaml")
OF_OTHER_ENGINES = {".engine.path", ".engine.textField"}
"""Belong to one type of engine, and are refused with the others."""
FOR_A_WHILE = {".watchdog.paused", ".watchdog.paused.reason"}
"""A sample that is copied must not hold everything back."""


def rules(schema: object) -> list[str]:
    """Every message of every CEL rule below."""
    if isinstance(schema, list):
        return [message for each in schema for message in rules(each)]
    if not isinstance(schema, dict):
        return []
    own = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    return own + [message for each in schema.values() for message in rules(each)]


def test_every_rule_of_the_worker_is_broken_by_a_manifest() -> None:
    remedies = [expected(manifest)[1] for manifest in MANIFESTS]
    messages = set(rules(CRD))
    assert len(messages) >= 40
    assert not [message for message in messages if not any(remedy in message for remedy in remedies)]


def test_every_field_that_a_rule_names_is_in_a_manifest() -> None:
    """The same message stands at several fields: each of them has a manifest of its own."""
    spec = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    named = {f"spec{rule['fieldPath']}" for rule in spec["x-kubernetes-validations"]}
    assert not named - {expected(manifest)[0] for manifest in MANIFESTS}


def written(value: Any, path: str = "") -> set[str]:
    """The paths of a manifest, in the notation of `of_record`."""
    if isinstance(value, dict):
        return {p for key, each in value.items() for p in {f"{path}.{key}", *written(each, f"{path}.{key}")}}
    if isinstance(value, list):
        return {p for each in value if isinstance(each, dict) for p in written(each, f"{path}[]")}
    return set()


@pytest.mark.parametrize("manifest", FULL)
def test_the_full_sample_has_every_field(manifest: str) -> None:
    spec = yaml.safe_load((ROOT / manifest).read_text())["spec"]
    assert of_record(LLMWorkerSpec).keys() - OF_OTHER_ENGINES - FOR_A_WHILE <= written(spec)
