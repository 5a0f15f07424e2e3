"""The CRDs and the records that read them say the same, both ways: fields, required, enums, defaults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_watchdog.api import incident, names, policy
from llm_watchdog.api.document import decode, encode
from llmworker_operator.models import LLMWorker, LLMWorkerSpec, LLMWorkerStatus
from tests.crds.reference import reference
from tests.crds.shape import ABSENT, Shapes, of_record, of_schema

CRDS = Path(__file__).parents[2] / "crds"
REFUSED = {".engine.url", ".engine.baseURL", ".engine.host", ".engine.endpoint"}
"""Declared in the CRD only, so that their refusal can name the remedy."""


def definition(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CRDS / f"{name}.yaml").read_text())
    return document


def schema(name: str, part: str) -> dict[str, Any]:
    (version,) = definition(name)["spec"]["versions"]
    assert version["name"] == names.VERSION
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def without_defaults(shapes: Shapes) -> Shapes:
    return {path: replace(shape, default=ABSENT) for path, shape in shapes.items()}


def all_optional_at_the_top(shapes: Shapes) -> Shapes:
    """Watchdog and operator each apply a part of the status, so that no field of it can be required."""
    return {
        path: replace(shape, required=shape.required and path.count(".") > 1, default=ABSENT)
        for path, shape in shapes.items()
    }


def as_optional_in_documents(shapes: Shapes) -> Shapes:
    """`required` means the same on both sides only if a field with a default is never required."""
    for path, shape in shapes.items():
        assert not (shape.required and shape.default != ABSENT), path
    return shapes


@pytest.fixture(scope="module")
def worker_spec() -> Shapes:
    return as_optional_in_documents(of_schema(schema("llmworkers", "spec"), opaque=frozenset({".template"})))


def test_worker_spec(worker_spec: Shapes) -> None:
    declared = {path: shape for path, shape in worker_spec.items() if path not in REFUSED}
    assert declared == of_record(LLMWorkerSpec)


def test_refused_fields_are_unknown_to_the_records(worker_spec: Shapes) -> None:
    assert worker_spec.keys() >= REFUSED
    assert not REFUSED & of_record(LLMWorkerSpec).keys()


def test_worker_status() -> None:
    assert without_defaults(of_schema(schema("llmworkers", "status"))) == all_optional_at_the_top(
        of_record(LLMWorkerStatus)
    )


def test_incident_spec() -> None:
    assert of_schema(schema("llmincidents", "spec")) == of_record(incident.IncidentSpec)


def test_incident_status() -> None:
    assert without_defaults(of_schema(schema("llmincidents", "status"))) == all_optional_at_the_top(
        of_record(incident.IncidentStatus)
    )


def test_no_status_field_has_a_default() -> None:
    """A default in the status would be nobody's in server-side apply, and would hide that nothing was written yet."""
    for name in ("llmworkers", "llmincidents"):
        assert {shape.default for shape in of_schema(schema(name, "status")).values()} == {ABSENT}


def test_evidence_fits() -> None:
    assert schema("llmincidents", "status")["properties"]["evidence"]["maxItems"] == incident.EVIDENCE_MAX


@pytest.mark.parametrize(
    ("file", "kind", "plural"),
    [
        ("llmworkers", names.WORKER_KIND, names.WORKER_PLURAL),
        ("llmincidents", names.INCIDENT_KIND, names.INCIDENT_PLURAL),
    ],
)
def test_names(file: str, kind: str, plural: str) -> None:
    spec = definition(file)["spec"]
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (names.GROUP, kind, plural)


def test_constants_in_rules() -> None:
    """CEL cannot import names.py."""
    text = (CRDS / "llmworkers.yaml").read_text()
    assert f"size() <= {names.WORKER_NAME_MAX} " in text
    assert f"startsWith('{names.RESERVED_PREFIX}')" in text
    assert f"startsWith('{names.GROUP}/')" in text
    assert f"startsWith('{names.ORDERS_DIR}')" in text
    assert f"self != {names.WATCHDOG_PORT}" in text
    assert f"c.name == '{names.ENGINE_CONTAINER}'" in text


def test_both_readers_of_the_policy_agree() -> None:
    """What pydantic reads at the operator's border, dacite reads back from the ConfigMap."""
    canary = {"interval": "1m30s", "busyInterval": "2m", "timeout": "1500ms"}
    engine = {"type": "vllm", "port": 9000, "apiKeySecretRef": {"name": "a", "key": "b"}}
    worker = LLMWorker.from_object(
        {
            "metadata": {"name": "qwen", "namespace": "models", "uid": "1"},
            "spec": {"engine": engine, "template": {}, "watchdog": {"canary": canary}},
        }
    )
    written = policy.Policy(engine=worker.spec.engine.target(), watchdog=worker.spec.watchdog)
    document = encode(written)
    assert document["watchdog"]["canary"]["interval"] == "90s"
    assert "apiKeySecretRef" not in document["engine"]
    assert decode(policy.Policy, document) == written


def test_reference_is_made_from_the_crds() -> None:
    """Else: `python -m tests.crds.reference > docs/api.md`."""
    assert (CRDS.parent / "docs" / "api.md").read_text() == reference()
