"""Loads image archives (as `docker save` or OCI lays them out) into a node; there is no registry."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError

IMPORT_SECONDS = 300


def import_command(ctr: Path, state: State, archive: Path) -> list[str]:
    """The kubelet sees only containerd's namespace `k8s.io`."""
    return [str(ctr), "--address", str(state.containerd_socket), "-n", "k8s.io", "images", "import", str(archive)]


def import_image(ctr: Path, state: State, archive: Path) -> None:
    run_loader(import_command(ctr, state, archive), archive)


def run_loader(command: Sequence[str], archive: Path, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False)
    if done.returncode != 0:
        raise ClusterError(f"{archive} was not loaded: {(done.stderr or done.stdout).strip()}")
