"""Each manifest in valid/, from six lines to fully written out, goes in, comes out, and goes in again unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llmworker_operator.models import LLMWorker

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = pytest.mark.apiserver

MANIFESTS = sorted((Path(__file__).parent / "valid").glob("*.yaml"))
WORKERS = [manifest for manifest in MANIFESTS if "kind: LLMWorker\n" in manifest.read_text()]
SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))


def named(manifest: Path) -> tuple[str, str]:
    document = yaml.safe_load(manifest.read_text())
    return document["kind"], document["metadata"]["name"]


def live(api: ApiAccess, manifest: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(api.kubectl("get", *named(manifest), "-o", "json", check=True).stdout)
    return document


def without(document: dict[str, Any], part: str, keys: set[str]) -> dict[str, Any]:
    return {**document, part: {key: value for key, value in document[part].items() if key not in keys}}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_round_trip(our_kinds: ApiAccess, manifest: Path) -> None:
    our_kinds.kubectl("apply", "-f", str(manifest), check=True)
    assert our_kinds.kubectl("apply", "-f", str(manifest), check=True).stdout.endswith("unchanged\n")
    before = live(our_kinds, manifest)
    written = our_kinds.kubectl("get", *named(manifest), "-o", "yaml", check=True).stdout
    our_kinds.kubectl("diff", "-f", "-", input=written, check=True)
    our_kinds.kubectl("apply", "-f", "-", input=written, check=True)
    after = live(our_kinds, manifest)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    our_kinds.kubectl("diff", "-f", str(manifest), check=True)
    our_kinds.kubectl("delete", *named(manifest), check=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_server_side_round_trip(our_kinds: ApiAccess, manifest: Path) -> None:
    """The status's default is dropped at a creation and stored by the next write, be it the operator's or, as here, a
    second apply.
    """
    our_kinds.kubectl("apply", "--server-side", "-f", str(manifest), check=True)
    made = live(our_kinds, manifest)
    our_kinds.kubectl("diff", "--server-side", "-f", str(manifest), check=True)
    our_kinds.kubectl("apply", "--server-side", "-f", str(manifest), check=True)
    before = live(our_kinds, manifest)
    changing = {"resourceVersion", "managedFields"}
    assert without(before, "metadata", changing) == without(made, "metadata", changing)
    our_kinds.kubectl("apply", "--server-side", "-f", str(manifest), check=True)
    assert live(our_kinds, manifest)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    our_kinds.kubectl("delete", *named(manifest), check=True)


@pytest.mark.parametrize("manifest", WORKERS, ids=lambda path: path.stem)
def test_the_operator_reads_it(our_kinds: ApiAccess, manifest: Path) -> None:
    """With every default that the API server filled in, and what the user wrote of the template."""
    made = our_kinds.kubectl("create", "--dry-run=server", "-f", str(manifest), "-o", "json", check=True)
    document = json.loads(made.stdout)
    worker = LLMWorker.from_object(document)
    assert worker.spec.template == document["spec"]["template"]
    written = yaml.safe_load(manifest.read_text())["spec"]["template"]
    assert worker.spec.template == written


def test_defaults_come_from_the_api_server(our_kinds: ApiAccess) -> None:
    """Six lines, read with the API server's defaults and with the records' own: the same."""
    six_lines = Path(__file__).parent / "valid" / "six_lines.yaml"
    made = our_kinds.kubectl("create", "--dry-run=server", "-f", str(six_lines), "-o", "json", check=True)
    filled = LLMWorker.from_object(json.loads(made.stdout))
    bare = json.loads(made.stdout)
    bare["spec"] = yaml.safe_load(six_lines.read_text())["spec"]
    assert len(json.dumps(bare["spec"])) < len(made.stdout) / 4
    assert LLMWorker.from_object(bare).spec == filled.spec


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_accepted(our_kinds: ApiAccess, sample: Path) -> None:
    """Once the namespace that a sample brings is there."""
    documents = list(yaml.safe_load_all(sample.read_text()))
    for space in (each for each in documents if each["kind"] == "Namespace"):
        our_kinds.kubectl("apply", "-f", "-", input=yaml.safe_dump(space), check=True)
    our_kinds.kubectl("apply", "--dry-run=server", "-f", str(sample), check=True)
