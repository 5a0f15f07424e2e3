"""The pinned programs: which module builds each, with which flags, and how it tells its version."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.places import TOOLCHAIN

KUBERNETES = "1.36.3"
ETCD = "3.6.16"
CONTAINERD = "2.3.7"
RUNC = "1.4.3"
PROMETHEUS = "3.10.0"

STRIPPED = "-s -w"


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module of the toolchain; its programs are built and cached together."""

    name: str
    version: str
    ldflags: str = STRIPPED
    tags: str = ""
    cgo: bool = False
    tag: str = ""
    """Its version as Go knows it, where the project calls it otherwise."""

    @property
    def folder(self) -> Path:
        return TOOLCHAIN / self.name

    @property
    def flags(self) -> tuple[str, ...]:
        return ("-trimpath", *(("-tags", self.tags) if self.tags else ()), "-ldflags", self.ldflags)

    @property
    def key(self) -> str:
        """Changes with every pin and every flag, and with nothing else."""
        digest = hashlib.sha256()
        for part in ("go.mod", "go.sum"):
            digest.update((self.folder / part).read_bytes())
        digest.update(" ".join((*self.flags, f"cgo={self.cgo}")).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    module: Module
    package: str
    version_args: tuple[str, ...] = ("--version",)


# Without the version set, nodes report v0.0.0-master and feature checks by version fail.
_KUBERNETES = Module("kubernetes", KUBERNETES, f"{STRIPPED} -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}")
_ETCD = Module("etcd", ETCD)
_CONTAINERD = Module("containerd", CONTAINERD)
_RUNC = Module("runc", RUNC, tags="seccomp", cgo=True)

# Of all the places where a Prometheus finds its targets none is needed to judge rules, and each brings its cloud's.
_PROMETHEUS = Module(
    "prometheus",
    PROMETHEUS,
    f"{STRIPPED} -X github.com/prometheus/common/version.Version={PROMETHEUS}",
    tags="remove_all_sd",
    tag="0.310.0",
)

_CONTAINERD_CMD = "github.com/containerd/containerd/v2/cmd"

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program("etcd", _ETCD, "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
        Program("kubectl", _KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", ("version", "--client")),
        Program("kube-controller-manager", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Program("kube-scheduler", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"),
        Program("kube-proxy", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy"),
        Program("kubelet", _KUBERNETES, "k8s.io/kubernetes/cmd/kubelet"),
        Program("containerd", _CONTAINERD, f"{_CONTAINERD_CMD}/containerd"),
        Program("containerd-shim-runc-v2", _CONTAINERD, f"{_CONTAINERD_CMD}/containerd-shim-runc-v2", ("-v",)),
        Program("ctr", _CONTAINERD, f"{_CONTAINERD_CMD}/ctr"),
        Program("runc", _RUNC, "github.com/opencontainers/runc"),
        Program("promtool", _PROMETHEUS, "github.com/prometheus/prometheus/cmd/promtool"),
    )
}

APISERVER_ONLY = ("etcd", "kube-apiserver", "kubectl")
WHOLE_NODE = tuple(program.name for program in PROGRAMS.values() if program.module is not _PROMETHEUS)
