"""docs/watchdog.md tells of each right to read that the manifests give a watchdog, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
READING = {"get", "list", "watch"}


def test_every_right_to_read_has_its_row() -> None:
    role = yaml.safe_load((ROOT / "manifests" / "base" / "rbac-watchdog.yaml").read_text())
    given = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    told = re.findall(r"^\| `([a-z/]+)` \| (`get`[^|]*) \|", (ROOT / "docs" / "watchdog.md").read_text(), re.MULTILINE)
    documented = {(resource, verb) for resource, verbs in told for verb in re.findall(r"`(\w+)`", verbs)}
    assert documented == {(resource, verb) for resource, verb in given if verb in READING}
