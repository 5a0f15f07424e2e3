"""Each manifest in invalid/ is refused at `kubectl apply` with a message that names the field and the remedy.

The first comment of a manifest says why it is wrong, `# field:` and `# remedy:` what the message must contain.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from e2e.cluster.access import ApiAccess

pytestmark = pytest.mark.apiserver

FOLDER = Path(__file__).parent / "invalid"
MANIFESTS = sorted(FOLDER.glob("*.yaml"))

EXPECTED = re.compile(r"\A# (?P<why>.+)\n# field: (?P<field>.+)\n# remedy: (?P<remedy>.+)\n")


def expected(manifest: Path) -> tuple[str, str]:
    found = EXPECTED.match(manifest.read_text())
    assert found, f"{manifest.name} does not say what is expected of its refusal"
    return found["field"], found["remedy"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_refused(our_kinds: ApiAccess, manifest: Path) -> None:
    field, remedy = expected(manifest)
    applied = our_kinds.kubectl("apply", "-f", str(manifest))
    assert applied.returncode != 0, applied.stdout
    lines = [line for line in applied.stderr.splitlines() if field in line]
    assert any(remedy in line for line in lines), applied.stderr


def test_nothing_was_kept(our_kinds: ApiAccess) -> None:
    names = {yaml.safe_load(manifest.read_text())["metadata"]["name"] for manifest in MANIFESTS}
    kept = our_kinds.kubectl("get", "llm", "-o", "jsonpath={.items[*].metadata.name}", check=True).stdout.split()
    assert not names & set(kept)
