"""Recorded answers of the real vLLM as httpx responses."""

from __future__ import annotations

from pathlib import Path

import httpx

RECORDINGS = Path(__file__).parent.parent / "recordings" / "vllm"


def answer(name: str) -> httpx.Response:
    """The recorded answer, headers and all."""
    head, _, body = (RECORDINGS / f"{name}.http").read_bytes().partition(b"\n\n")
    _call, status, *headers = head.decode().splitlines()
    pairs = [tuple(header.split(": ", 1)) for header in headers]
    kept = [pair for pair in pairs if pair[0] not in ("content-length", "transfer-encoding")]
    return httpx.Response(int(status.split()[1]), headers=kept, content=body)  # type: ignore[arg-type]


def text(name: str) -> str:
    return (RECORDINGS / name).read_text()


def data_lines(body: str) -> list[str]:
    return [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
