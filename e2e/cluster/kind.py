"""kind: a node in a container, where an engine answers. Commands are pure and tested; the engine runs them."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.access import ApiAccess
from e2e.cluster.binaries import ensure_programs
from e2e.cluster.images import run_loader
from e2e.cluster.kubeconfig import server_of
from e2e.cluster.places import State
from e2e.cluster.progress import ClusterError, Progress, wait_until

CLUSTER = "llmworker"
CONTROL_PLANE = f"{CLUSTER}-control-plane"
# Restarts in place need a kubelet of 1.36 or later.
NODE_IMAGE = "kindest/node:v1.36.1"
ENGINES = ("docker", "podman")
ENGINE_SECONDS = 10
READY_SECONDS = 300

_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
_PARKED = "/etc/kubernetes/kube-apiserver.yaml"


def is_installed() -> bool:
    """The program itself; without it a container engine is of no use here."""
    return shutil.which("kind") is not None


def find_engine() -> str | None:
    """A client without a daemon is no engine: only an answer counts."""
    return next((engine for engine in ENGINES if shutil.which(engine) and _answers(engine)), None)


def _answers(engine: str) -> bool:
    try:
        return (
            subprocess.run((engine, "info"), capture_output=True, timeout=ENGINE_SECONDS, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def node_image(env: Mapping[str, str]) -> str:
    return env.get("LLMWORKER_KIND_IMAGE", NODE_IMAGE)


def create_command(kubeconfig: Path, image: str) -> list[str]:
    return [
        *("kind", "create", "cluster", "--name", CLUSTER, "--image", image),
        *("--kubeconfig", str(kubeconfig), "--wait", f"{READY_SECONDS}s"),
    ]


def delete_command(kubeconfig: Path) -> list[str]:
    return ["kind", "delete", "cluster", "--name", CLUSTER, "--kubeconfig", str(kubeconfig)]


def load_command(archive: Path) -> list[str]:
    return ["kind", "load", "image-archive", str(archive), "--name", CLUSTER]


def stop_apiserver_command(engine: str) -> list[str]:
    """The kubelet ends a static pod whose file is gone, and starts it again when the file is back."""
    return [engine, "exec", CONTROL_PLANE, "mv", _MANIFEST, _PARKED]


def start_apiserver_command(engine: str) -> list[str]:
    return [engine, "exec", CONTROL_PLANE, "mv", _PARKED, _MANIFEST]


def environment(engine: str, env: Mapping[str, str]) -> dict[str, str]:
    return {**env, **({"KIND_EXPERIMENTAL_PROVIDER": "podman"} if engine == "podman" else {})}


@dataclass(frozen=True, slots=True)
class KindCluster:
    state: State
    engine: str

    def up(self, progress: Progress) -> ApiAccess:
        programs = ensure_programs(["kubectl"], progress)
        self.state.root.mkdir(parents=True, exist_ok=True)
        if not self.runs():
            image = node_image(os.environ)
            with progress.step(f"kind create cluster with {image}"):
                self._run(create_command(self.state.kubeconfig, image))
        return self._access(programs["kubectl"])

    def down(self, progress: Progress) -> None:
        with progress.step("kind delete cluster"):
            self._run(delete_command(self.state.kubeconfig))

    def runs(self) -> bool:
        return CLUSTER in self._run(["kind", "get", "clusters"]).split()

    def status(self) -> str:
        return f"kind on {self.engine}: {'running' if self.runs() else 'not running'}"

    def stop_apiserver(self) -> None:
        self._run(stop_apiserver_command(self.engine))

    def start_apiserver(self) -> None:
        self._run(start_apiserver_command(self.engine))
        access = self._access(ensure_programs(["kubectl"], Progress())["kubectl"])
        wait_until(
            "kube-apiserver",
            lambda: access.kubectl("get", "--raw", "/readyz").returncode == 0,
            seconds=READY_SECONDS,
            every=0.5,
        )

    def load_image(self, archive: Path) -> None:
        run_loader(load_command(archive), archive, environment(self.engine, os.environ))

    def _access(self, kubectl: Path) -> ApiAccess:
        return ApiAccess(
            kubeconfig=self.state.kubeconfig,
            url=server_of(self.state.kubeconfig),
            kubectl_program=kubectl,
            kubectl_cache=self.state.root / "kubectl-cache",
        )

    def _run(self, command: Sequence[str]) -> str:
        if shutil.which(command[0]) is None:
            raise ClusterError(
                f"{command[0]} is missing: install kind (https://kind.sigs.k8s.io), or use --source local."
            )
        done = subprocess.run(
            command, env=environment(self.engine, os.environ), stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(command)} ended with {done.returncode}; its messages stand above.")
        return done.stdout
