"""The local node as a cluster to use: up, down, its API server alone, its images. One per machine."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.access import ApiAccess
from e2e.cluster.apiserver import access_to, wait_for_apiserver
from e2e.cluster.binaries import ensure_programs
from e2e.cluster.boot import DAEMONS, NODE_SECONDS, Boot, node_is_ready
from e2e.cluster.control import Control
from e2e.cluster.images import import_image
from e2e.cluster.network import Network
from e2e.cluster.node import LONGEST_NODE_STATE
from e2e.cluster.packages import NODE_PACKAGES, ensure_packages
from e2e.cluster.places import State
from e2e.cluster.programs import WHOLE_NODE
from e2e.cluster.progress import ClusterError, Progress, wait_until
from e2e.cluster.readiness import timed_start
from e2e.cluster.teardown import tear_down


@dataclass(frozen=True, slots=True)
class LocalNode:
    state: State
    network: Network = field(default_factory=Network)

    @property
    def control(self) -> Control:
        return Control(self.state)

    def up(self, progress: Progress) -> ApiAccess:
        """A node that runs is left as it is; what a crash left is cleaned away first."""
        check_machine(self.state)
        ensure_packages(NODE_PACKAGES, progress)
        programs = ensure_programs(WHOLE_NODE, progress)
        with self._lock():
            if self._booted():
                return self._revive(programs["kubectl"], progress)
            tear_down(self.state)
            try:
                with timed_start(self.state, progress), progress.step("starting the local node"):
                    return Boot(self.state, self.network, programs, progress).run()
            except BaseException:
                # Also on Ctrl-C: half a node is of no use to anybody. The logs stay.
                tear_down(self.state)
                raise

    def down(self, progress: Progress) -> None:
        if not self.state.root.exists():
            progress.say(f"nothing to take down in {self.state.root}")
            return
        with self._lock(), progress.step(f"taking down {self.state.root}"):
            tear_down(self.state)

    def runs(self) -> bool:
        return self.control.alive()

    def status(self) -> str:
        if not self.runs():
            return f"local node in {self.state.root}: not running"
        programs = ", ".join(f"{name} ({pid})" for name, pid in self.control.running().items())
        return f"local node in {self.state.root}: {programs}\nexport KUBECONFIG={self.state.kubeconfig}"

    def stop_apiserver(self) -> None:
        """By SIGTERM, as an upgrade would; etcd, the kubelet and the pods go on."""
        self.control.stop("kube-apiserver")

    def start_apiserver(self) -> None:
        """On the same data; returns when it is ready."""
        self.control.start_again("kube-apiserver")
        access = access_to(self.state, Path("kubectl"))
        wait_for_apiserver(self.control, access.url, self.state.pki / "ca.crt")

    def load_image(self, archive: Path) -> None:
        import_image(ensure_programs(["ctr"], Progress())["ctr"], self.state, archive)

    def _booted(self) -> bool:
        """Whether a runner holds a whole node; not after an interrupted start."""
        return self.control.alive() and self.state.kubeconfig.exists() and self.control.known() >= set(DAEMONS)

    def _revive(self, kubectl: Path, progress: Progress) -> ApiAccess:
        """Starts what has ended since. A node that holds someone's work is never thrown away for being unready."""
        progress.say(f"the local node of {self.state.root} runs already")
        access = access_to(self.state, kubectl)
        for name in set(DAEMONS) - set(self.control.running()):
            progress.say(f"{name} had ended and is started again")
            self.control.start_again(name)
        wait_until("the node", lambda: node_is_ready(access), seconds=NODE_SECONDS, every=0.3)
        return access

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Two commands at once wait for each other. The programs do not inherit the open file."""
        self.state.root.mkdir(parents=True, exist_ok=True)
        with (self.state.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def check_machine(state: State) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ClusterError(
            "The local node needs Linux and root: run as root, or install kind and start a container engine."
        )
    if shutil.which("mount") is None:
        raise ClusterError("mount is missing: install util-linux.")
    if len(str(state.root)) > LONGEST_NODE_STATE:
        raise ClusterError(
            f"The state folder {state.root} is longer than {LONGEST_NODE_STATE} characters, and sockets lie below it: "
            "set LLMWORKER_STATE to a shorter one."
        )
