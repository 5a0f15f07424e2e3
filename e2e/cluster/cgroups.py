"""This cluster's own cgroups: the kubelet's pods and our programs live below one name in every hierarchy.

A process may leave its parent and its session, never its cgroup by itself: this is how `down` finds them all.
"""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.progress import ClusterError

ROOT = Path("/sys/fs/cgroup")
MOUNTS = Path("/proc/self/mounts")
# Where the programs sit: a cgroup of version 2 may hold processes or children, not both.
PROGRAMS = "programs"
REMOVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Hierarchy:
    mount_point: Path
    controllers: frozenset[str]


def hierarchies(mounts: str) -> list[Hierarchy]:
    """From the text of /proc/self/mounts: one on version 2, many on version 1, both on a hybrid machine."""
    found: dict[Path, Hierarchy] = {}
    for line in mounts.splitlines():
        _device, point, kind, options = line.split()[:4]
        if kind in {"cgroup", "cgroup2"}:
            controllers = frozenset(options.split(",")) if kind == "cgroup" else frozenset({"unified"})
            found[Path(point)] = Hierarchy(Path(point), controllers)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Cgroups:
    """`name` is unique to one state folder."""

    name: str
    hierarchies: tuple[Hierarchy, ...]

    @classmethod
    def of_this_machine(cls, name: str) -> "Cgroups":
        found = tuple(hierarchies(MOUNTS.read_text()))
        if not found:
            raise ClusterError("No cgroups are mounted: mount them at /sys/fs/cgroup.")
        return cls(name, found)

    @property
    def tracking(self) -> Path:
        """The one hierarchy whose members are counted; every container is in it."""
        pids = [each for each in self.hierarchies if "pids" in each.controllers]
        unified = [each for each in self.hierarchies if "unified" in each.controllers]
        return (pids or unified or list(self.hierarchies))[0].mount_point / self.name

    def prepare(self) -> None:
        for hierarchy in self.hierarchies:
            ours = hierarchy.mount_point / self.name
            ours.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.controllers:
                _inherit_cpuset(ours)
            if "unified" in hierarchy.controllers:
                _pass_controllers_down(hierarchy.mount_point, ours)
        (self.tracking / PROGRAMS).mkdir(exist_ok=True)

    def enter(self, pid: int) -> None:
        (self.tracking / PROGRAMS / "cgroup.procs").write_text(str(pid))

    def members(self) -> list[int]:
        pids: list[int] = []
        for folder, _subfolders, _files in os.walk(self.tracking):
            with contextlib.suppress(OSError):
                pids += map(int, (Path(folder) / "cgroup.procs").read_text().split())
        return pids

    def left(self) -> list[Path]:
        return [path for each in self.hierarchies if (path := each.mount_point / self.name).exists()]

    def remove(self) -> None:
        """A cgroup can be removed a moment after its last process has ended, not before."""
        deadline = time.monotonic() + REMOVE_SECONDS
        while self.left():
            for top in self.left():
                for folder, _subfolders, _files in os.walk(top, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(folder).rmdir()
            if self.left() and time.monotonic() > deadline:
                raise ClusterError(f"These cgroups cannot be removed: {', '.join(map(str, self.left()))}.")
            time.sleep(0.02)


def _inherit_cpuset(ours: Path) -> None:
    """On version 1 a new cpuset is empty, and nothing may run in it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        (ours / name).write_text((ours.parent / name).read_text())


def _pass_controllers_down(top: Path, ours: Path) -> None:
    available = (top / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in available)
    if not wanted:
        return
    for folder in (top, ours):
        try:
            (folder / "cgroup.subtree_control").write_text(wanted)
        except OSError as error:
            # A hybrid machine's second hierarchy may lack the right; the first one counts there.
            if top == ROOT:
                raise ClusterError(f"{folder} cannot hand its controllers down: {error}") from error
