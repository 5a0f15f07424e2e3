"""The README's table is tied to its closed vocabulary, and what it points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from llm_watchdog.api.reasons import FindingReason, Outcome

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NAMED = re.findall(r"`((?:docs|manifests|crds|e2e|tests|operator|sidecar)/[\w./-]*)`", README)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_row(outcome: Outcome) -> None:
    assert f"| `{outcome}` |" in README


def test_every_page_is_pointed_to() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(NAMED)


@pytest.mark.parametrize("path", sorted(set(NAMED)))
def test_what_is_pointed_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_reasons_have_their_own_page() -> None:
    """Two tables of the same would drift apart."""
    assert not [reason for reason in FindingReason if f"| `{reason}` |" in README]


def test_the_shortest_worker_is_the_sample_that_the_api_server_is_shown() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert yaml.safe_load(block) == yaml.safe_load((ROOT / "manifests" / "samples" / "minimal.yaml").read_text())
