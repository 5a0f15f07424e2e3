"""The shape of the tree that other things rely on."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
TOP_LEVEL = {
    "Makefile", "README.md", "pyproject.toml", "uv.lock", "conftest.py",
    "operator", "sidecar", "crds", "manifests", "tests", "e2e", "docs", "benchmarks",
}  # fmt: skip


def test_operator_is_no_package_because_it_would_shadow_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_nothing_else_lies_at_the_top() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert visible - {"dist", "build"} <= TOP_LEVEL
