"""kubectl's failures are sentences of ours, whatever kind they are."""

from pathlib import Path

import pytest

from e2e.cluster import access
from e2e.cluster.access import ApiAccess
from e2e.cluster.progress import ClusterError


def kubectl(tmp_path: Path, script: str) -> ApiAccess:
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return ApiAccess(
        kubeconfig=tmp_path / "kubeconfig", url="", kubectl_program=program, kubectl_cache=tmp_path / "cache"
    )


@pytest.mark.parametrize("check", [True, False])
def test_a_call_that_does_not_end_is_an_error_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, check: bool
) -> None:
    monkeypatch.setattr(access, "KUBECTL_SECONDS", 0.2)
    hangs = kubectl(tmp_path, "exec sleep 60")
    with pytest.raises(ClusterError, match=r"get pods did not end within 0\.2 s: .*polled"):
        hangs.kubectl("get", "pods", check=check)


def test_a_failure_is_told_in_kubectls_own_words_where_it_is_checked(tmp_path: Path) -> None:
    fails = kubectl(tmp_path, "echo 'no such pod' >&2; exit 1")
    assert fails.kubectl("get", "pod", "a").returncode == 1
    with pytest.raises(ClusterError, match="get pod a: no such pod"):
        fails.kubectl("get", "pod", "a", check=True)
