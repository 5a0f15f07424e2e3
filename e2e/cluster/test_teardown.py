"""Whatever happened to the runner, `down` leaves nothing and `up` starts anew.

The node of these tests has a state folder and a network namespace of its own, so that it disturbs no other node.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.binaries import ensure_programs
from e2e.cluster.cgroups import Cgroups
from e2e.cluster.ledger import RUNNER, read_ledger
from e2e.cluster.places import REPOSITORY, State
from e2e.cluster.progress import Progress
from e2e.cluster.readiness import last_start
from e2e.cluster.sleeper import SLEEPER
from e2e.fixtures import OnlyHere

pytestmark = [pytest.mark.cluster, pytest.mark.alone]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A network namespace, held by a process that sleeps, and a state folder."""

    state: State
    holder: int

    def run(self, *command: str, text: str | None = None) -> str:
        inside = ("nsenter", f"--net=/proc/{self.holder}/ns/net", *command)
        environment = {**os.environ, "LLMWORKER_STATE": str(self.state.root)}
        environment.pop("KUBECONFIG", None)
        done = subprocess.run(
            inside, input=text, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def cluster(self, command: str) -> str:
        return self.run(sys.executable, "-m", "e2e.cluster", "--source", "local", command)

    def kubectl(self, *args: str, text: str | None = None) -> str:
        kubectl = ensure_programs(["kubectl"], Progress())["kubectl"]
        return self.run(str(kubectl), "--kubeconfig", str(self.state.kubeconfig), *args, text=text)

    def run_a_pod(self) -> None:
        self.kubectl("create", "-f", "-", text=json.dumps(SLEEPER))
        self.kubectl("wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s")

    def kill_runner(self) -> None:
        runner = next(entry for entry in read_ledger(self.state.ledger) if entry.name == RUNNER)
        os.kill(runner.pid, signal.SIGKILL)

    def processes(self) -> list[str]:
        """Of this state folder, by command line or by cgroup."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                cgroup = (folder / "cgroup").read_text()
            except OSError:
                continue
            if words and (str(self.state.root) in words or self.state.name in cgroup):
                found.append(words)
        return found

    def leftovers(self) -> dict[str, list[str]]:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        links = json.loads(self.run("ip", "-json", "link"))
        tables = json.loads(self.run("nft", "-j", "list", "tables"))["nftables"]
        return {
            "processes": self.processes(),
            "mounts": [line for line in mounts if str(self.state.root) in line],
            "links": [link["ifname"] for link in links if link["ifname"] != "lo"],
            "tables": [entry["table"]["name"] for entry in tables if "table" in entry],
            "cgroups": [str(path) for path in Cgroups.of_this_machine(self.state.name).left()],
        }


NOTHING: dict[str, list[str]] = {"processes": [], "mounts": [], "links": [], "tables": [], "cgroups": []}


@pytest.fixture
def elsewhere(only_here: OnlyHere) -> Iterator[Elsewhere]:
    only_here("What a node leaves behind is looked for among this machine's processes and mounts")
    root = Path(tempfile.mkdtemp(prefix="llmw-"))
    holder = subprocess.Popen(
        ("unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    place = Elsewhere(State(root), holder.pid)
    try:
        yield place
    finally:
        place.cluster("down")
        holder.stdout.close()
        holder.kill()
        holder.wait()
        shutil.rmtree(root)


def test_down_after_the_runner_was_killed_leaves_nothing(elsewhere: Elsewhere) -> None:
    elsewhere.cluster("up")
    assert "node Ready after" in (last_start(elsewhere.state) or "")
    elsewhere.run_a_pod()
    elsewhere.kill_runner()
    before = elsewhere.leftovers()
    assert all(before.values()), f"the test has nothing to clean: {before}"
    assert any("containerd-shim" in process for process in before["processes"])
    elsewhere.cluster("down")
    assert elsewhere.leftovers() == NOTHING
    elsewhere.cluster("down")


def test_up_after_a_crash_starts_anew_and_a_second_up_changes_nothing(elsewhere: Elsewhere) -> None:
    elsewhere.cluster("up")
    elsewhere.run_a_pod()
    elsewhere.kill_runner()
    elsewhere.cluster("up")
    assert "sleeper" not in elsewhere.kubectl("get", "pods", "-o", "name")
    assert not any("sleep 2147483647" in process for process in elsewhere.processes())
    runner = read_ledger(elsewhere.state.ledger)
    elsewhere.cluster("up")
    assert read_ledger(elsewhere.state.ledger) == runner
    elsewhere.cluster("down")
    assert elsewhere.leftovers() == NOTHING
