"""Debian packages that the local node needs beside the built programs."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from e2e.cluster.progress import ClusterError, Progress

CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")

# Files that only that package brings, where distributions put them: no package manager is asked when all is there.
NODE_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "containernetworking-plugins": tuple(f"{folder}/host-local" for folder in CNI_FOLDERS),
    "nftables": ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"),
    "iproute2": ("/usr/sbin/ip", "/sbin/ip", "/bin/ip", "/usr/bin/ip"),
    "busybox-static": ("/bin/busybox",),
}
# runc alone is built with cgo.
BUILD_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "libseccomp-dev": ("/usr/include/seccomp.h",),
    "pkg-config": ("/usr/bin/pkg-config",),
    "gcc": ("/usr/bin/gcc",),
    "libc6-dev": ("/usr/include/stdio.h",),
}


def missing_packages(wanted: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [name for name, files in wanted.items() if not any(Path(file).exists() for file in files)]


def cni_folder() -> Path:
    return next(Path(folder) for folder in CNI_FOLDERS if Path(folder, "host-local").exists())


def ensure_packages(wanted: Mapping[str, tuple[str, ...]], progress: Progress) -> None:
    missing = missing_packages(wanted)
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(install_sentence(missing))
    with progress.step(f"apt-get install {' '.join(missing)}"):
        # Lists may be absent in a fresh image, or too old for what they name.
        done = apt_get("install", *missing) or (apt_get("update") and apt_get("install", *missing))
    if not done:
        raise ClusterError(install_sentence(missing))


def install_sentence(missing: Iterable[str]) -> str:
    return f"Install these packages (Debian's names) as root: {' '.join(missing)}."


def apt_get(verb: str, *names: str) -> bool:
    # Another apt may be at work; wait for it instead of failing.
    command = ("apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", verb, *names)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0
