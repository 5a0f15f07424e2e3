"""Which lines of an access log are taken for a client's completions."""

from __future__ import annotations

import pytest

from e2e.lab.access_logs import taken

AT = "2026-11-21T03:00:00.500000Z"
VLLM = f'{AT} INFO:     10.88.0.1:41234 - "POST /v1/completions HTTP/1.1" 200 OK'
OURS = f'{AT} {{"event": "accepted", "path": "/v1/completions", "remote": "10.88.0.1:41234"}}'


@pytest.mark.parametrize("line", [VLLM, OURS])
def test_each_engine_names_its_client(line: str) -> None:
    assert len(taken([line], "10.88.0.1")) == 1


@pytest.mark.parametrize("address", ["10.88.0.11", "0.88.0.1", "110.88.0.1", "10.88.0", "10x88.0.1"])
def test_another_address_is_another_client(address: str) -> None:
    assert taken([VLLM, OURS], address) == []
    assert taken([VLLM.replace("10.88.0.1:", f"{address}:")], "10.88.0.1") == []


@pytest.mark.parametrize(
    "line", [VLLM.replace("completions", "models"), OURS.replace("accepted", "finished")], ids=["other path", "its end"]
)
def test_only_the_taking_of_a_completion_counts(line: str) -> None:
    assert taken([line], "10.88.0.1") == []
