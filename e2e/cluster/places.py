"""Where things lie: the toolchain's modules, the cache of programs, and one cluster's state folder."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLCHAIN = Path(__file__).resolve().parent / "toolchain"

# Unix socket paths end at 107 bytes, and containerd appends to them inside the state folder.
LONGEST_STATE_PATH = 60


def cache_dir(env: Mapping[str, str] = os.environ) -> Path:
    if named := env.get("LLMWORKER_CACHE"):
        return Path(named)
    base = env.get("XDG_CACHE_HOME") or str(Path(env.get("HOME", "/root")) / ".cache")
    return Path(base) / "llmworker"


def default_state(env: Mapping[str, str] = os.environ) -> "State":
    return State(Path(env.get("LLMWORKER_STATE", "/var/lib/llmworker-e2e")))


@dataclass(frozen=True, slots=True)
class State:
    """One cluster's folder. Everything that its programs write lies below it."""

    root: Path

    def __post_init__(self) -> None:
        if len(str(self.root)) > LONGEST_STATE_PATH:
            raise ValueError(
                f"the state folder {self.root} is longer than {LONGEST_STATE_PATH} characters: "
                "set LLMWORKER_STATE to a shorter one"
            )

    @property
    def name(self) -> str:
        """Names this cluster's cgroups, so that two state folders never share them."""
        return "llmworker-e2e-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit_policy(self) -> Path:
        return self.root / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        """Every request to an API server that runs alone, one JSON record per line."""
        return self.logs / "audit.log"

    @property
    def readiness(self) -> Path:
        """How long the last start took. Among the logs: kept after `down`, gone with the next start."""
        return self.logs / "readiness.json"

    @property
    def volumes(self) -> Path:
        """For local PersistentVolumes; survives `down`."""
        return self.root / "volumes"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def kubelet(self) -> Path:
        return self.root / "kubelet"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.containerd / "containerd.sock"

    @property
    def cni(self) -> Path:
        return self.root / "cni"

    @property
    def control_socket(self) -> Path:
        return self.root / "runner.sock"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.json"

    @property
    def footprint(self) -> Path:
        """What was changed outside the folder (network, kernel settings), for `down`."""
        return self.root / "footprint.json"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def throwaway(self) -> tuple[Path, ...]:
        """What a new start must not find; logs stay for a look after `down`, volumes for the next start."""
        return (self.etcd, self.kubelet, self.containerd, self.cni, self.pki, self.root / "pods")
