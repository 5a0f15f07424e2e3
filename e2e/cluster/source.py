"""Where the cluster comes from: one the user names, kind where a container engine answers, else the local node."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from e2e.cluster.access import ApiAccess
from e2e.cluster.given import GivenCluster
from e2e.cluster.kind import KindCluster, find_engine, is_installed
from e2e.cluster.local import LocalNode
from e2e.cluster.places import default_state
from e2e.cluster.progress import ClusterError, Progress


class Source(StrEnum):
    AUTO = "auto"
    KUBECONFIG = "kubeconfig"
    KIND = "kind"
    LOCAL = "local"


class ClusterSource(Protocol):
    def up(self, progress: Progress) -> ApiAccess: ...
    def down(self, progress: Progress) -> None: ...
    def runs(self) -> bool: ...
    def status(self) -> str: ...
    def stop_apiserver(self) -> None: ...
    def start_apiserver(self) -> None: ...
    def load_image(self, archive: Path) -> None: ...


def named_kubeconfig(given: Path | None, env: Mapping[str, str] = os.environ) -> Path | None:
    """The option, or the variable; our own file is no wish for somebody else's cluster."""
    if given is not None:
        return given
    first = env.get("KUBECONFIG", "").split(os.pathsep)[0]
    if not first or Path(first).resolve() == default_state(env).kubeconfig.resolve():
        return None
    return Path(first)


def choose(source: str, kubeconfig: Path | None, *, engine: str | None) -> Source:
    """Pure: what was asked for, what was named, what answers."""
    wanted = Source(source)
    if wanted is Source.KUBECONFIG and kubeconfig is None:
        raise ClusterError("--source kubeconfig needs --kubeconfig or KUBECONFIG.")
    if wanted is Source.KIND and engine is None:
        raise ClusterError("--source kind needs a container engine: neither `docker info` nor `podman info` answers.")
    if wanted is not Source.AUTO:
        return wanted
    if kubeconfig is not None:
        return Source.KUBECONFIG
    return Source.KIND if engine else Source.LOCAL


def open_source(source: str, given: Path | None, progress: Progress) -> ClusterSource:
    kubeconfig = named_kubeconfig(given)
    decided = source != Source.AUTO or kubeconfig is not None
    wanted = source == Source.KIND or (not decided and is_installed())
    engine = find_engine() if wanted else None
    chosen = choose(source, kubeconfig, engine=engine)
    if chosen is Source.KUBECONFIG and kubeconfig is not None:
        progress.say(f"cluster: the one of {kubeconfig}")
        return GivenCluster(kubeconfig)
    if chosen is Source.KIND and engine is not None:
        progress.say(f"cluster: kind on {engine}")
        return KindCluster(default_state(), engine)
    progress.say(f"cluster: local node in {default_state().root}")
    return LocalNode(default_state())


@dataclass(frozen=True, slots=True)
class Cluster(ApiAccess):
    """A cluster with a node, as a test holds it."""

    source: ClusterSource = field(kw_only=True)

    def stop_apiserver(self) -> None:
        """The API server alone; pods go on."""
        self.source.stop_apiserver()

    def start_apiserver(self) -> None:
        """On the same data; returns when it is ready."""
        self.source.start_apiserver()

    def load_image(self, archive: Path) -> None:
        self.source.load_image(archive)


def as_cluster(access: ApiAccess, source: ClusterSource) -> Cluster:
    return Cluster(
        kubeconfig=access.kubeconfig,
        url=access.url,
        kubectl_program=access.kubectl_program,
        kubectl_cache=access.kubectl_cache,
        certificate_authority=access.certificate_authority,
        source=source,
    )
