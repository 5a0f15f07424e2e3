"""Which code was measured: runs of one report are runs of one program."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MEASURED: Final = ("sidecar/llm_watchdog", "e2e/fault_engine", "benchmarks/detection")
SUFFIXES: Final = frozenset({".py", ".toml"})


def sources_hash() -> str:
    """Of the product, of the fault engine and of the benchmark itself: 12 hex digits."""
    digest = hashlib.sha256()
    for folder in MEASURED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
