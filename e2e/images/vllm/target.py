"""What the vLLM environment is made for: it must fit the interpreter and the C library of the `vllm` image."""

from __future__ import annotations

from pathlib import Path

LOCK_FILE = Path(__file__).with_name("requirements.lock.txt")
MACHINE = "x86_64"  # the only one whose wheels are locked
PYTHON = "3.11"
WHEEL_PLATFORM = f"{MACHINE}-manylinux_2_36"
