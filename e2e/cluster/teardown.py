"""Ends a cluster whatever state it is in: the same way after a clean run and after `kill -9` of the runner.

Nothing here trusts a process of the cluster to help: pids, cgroups, mounts and names on disk tell what to undo.
"""

import ctypes
import os
import shutil
import signal
import time
from pathlib import Path

from e2e.cluster.cgroups import Cgroups
from e2e.cluster.ledger import RUNNER, Entry, read_ledger
from e2e.cluster.network import lower_network
from e2e.cluster.node import shim_sockets
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, wait_until

MNT_DETACH = 2
END_SECONDS = 20.0
KUBELET_LOG_LINKS = Path("/var/log/containers")

_libc = ctypes.CDLL(None, use_errno=True)


def tear_down(state: State) -> None:
    """Leaves logs and volumes; idempotent."""
    end_processes(state)
    unmount_all(state)
    if os.geteuid() == 0:
        lower_network(state)
        Cgroups.of_this_machine(state.name).remove()
        _remove_log_links(state)
    for folder in (*state.throwaway, shim_sockets(state), state.root / "config", state.root / "kubectl-cache"):
        shutil.rmtree(folder, ignore_errors=not folder.exists())
    for file in (state.control_socket, state.ledger, state.kubeconfig, state.settings):
        file.unlink(missing_ok=True)


def end_processes(state: State) -> None:
    """The runner first, so that nothing new begins; then what it wrote down; then whatever is in the cgroup."""
    entries = sorted(read_ledger(state.ledger), key=lambda entry: entry.name != RUNNER)
    for entry in entries:
        entry.kill()
    wait_until("the end of the programs", lambda: not _alive(entries), seconds=END_SECONDS, every=0.02)
    if os.geteuid() != 0:
        return
    cgroups = Cgroups.of_this_machine(state.name)
    deadline = time.monotonic() + END_SECONDS
    while pids := cgroups.members():
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            raise ClusterError(f"These processes do not end on SIGKILL: {pids}.")
        time.sleep(0.02)


def _alive(entries: list[Entry]) -> bool:
    return any(entry.alive for entry in entries)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def mounts_below(folders: tuple[Path, ...], mountinfo: str) -> list[str]:
    """Mount points below the folders, the innermost and latest first."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    ours = [point for point in points if any(Path(point).is_relative_to(folder) for folder in folders)]
    return ours[::-1]


def unmount_all(state: State) -> None:
    """Before anything is deleted: a volume is mounted below the kubelet's folder, and must not be emptied with it."""
    for _attempt in range(3):
        for point in mounts_below(state.throwaway, Path("/proc/self/mountinfo").read_text()):
            _libc.umount2(point.encode(), MNT_DETACH)
    if left := mounts_below(state.throwaway, Path("/proc/self/mountinfo").read_text()):
        raise ClusterError(f"These mounts cannot be undone: {', '.join(left)}.")


def _remove_log_links(state: State) -> None:
    if not KUBELET_LOG_LINKS.is_dir():
        return
    for link in KUBELET_LOG_LINKS.iterdir():
        if link.is_symlink() and link.readlink().is_relative_to(state.root):
            link.unlink()
