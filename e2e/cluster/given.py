"""A cluster that the user names. Nothing is started or stopped there, and only contexts on the allow-list are used."""

import fnmatch
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.access import ApiAccess
from e2e.cluster.binaries import ensure_programs
from e2e.cluster.kubeconfig import current_context, server_of
from e2e.cluster.places import cache_dir
from e2e.cluster.progress import ClusterError, Progress

# The tests install cluster-wide objects and break pods: never by mistake where somebody works.
ALLOWED_CONTEXTS = ("kind-llmworker*", "llmworker-local*")
ALLOW_VARIABLE = "LLMWORKER_ALLOW_CONTEXTS"


def allowed_patterns(env: Mapping[str, str]) -> tuple[str, ...]:
    """The fixed ones and the user's own, separated by commas."""
    return (*ALLOWED_CONTEXTS, *filter(None, map(str.strip, env.get(ALLOW_VARIABLE, "").split(","))))


def refuse_foreign(context: str, env: Mapping[str, str] = os.environ) -> None:
    patterns = allowed_patterns(env)
    if not any(fnmatch.fnmatchcase(context, pattern) for pattern in patterns):
        raise ClusterError(
            f"The context {context!r} is not on the allow-list ({', '.join(patterns)}): the tests break pods and "
            f"install cluster-wide objects. If it is a cluster for that, set {ALLOW_VARIABLE}={context or 'NAME'}; "
            "for one of the project's own, unset KUBECONFIG."
        )


@dataclass(frozen=True, slots=True)
class GivenCluster:
    kubeconfig: Path

    def up(self, progress: Progress) -> ApiAccess:
        if not self.kubeconfig.exists():
            raise ClusterError(f"{self.kubeconfig} does not exist.")
        refuse_foreign(current_context(self.kubeconfig))
        access = ApiAccess(
            kubeconfig=self.kubeconfig,
            url=server_of(self.kubeconfig),
            kubectl_program=ensure_programs(["kubectl"], progress)["kubectl"],
            kubectl_cache=cache_dir() / "kubectl-cache",
        )
        access.kubectl("version", check=True)
        return access

    def down(self, progress: Progress) -> None:
        progress.say(f"{self.kubeconfig} is a cluster of yours and stays as it is")

    def runs(self) -> bool:
        return True

    def status(self) -> str:
        return f"given: context {current_context(self.kubeconfig)} of {self.kubeconfig}"

    def stop_apiserver(self) -> None:
        raise ClusterError("The API server of a given cluster is not ours to stop: use --source kind or local.")

    def start_apiserver(self) -> None:
        raise ClusterError("The API server of a given cluster is not ours to start: use --source kind or local.")

    def load_image(self, archive: Path) -> None:
        raise ClusterError(
            f"{archive.name} cannot be loaded into a given cluster: push it to a registry it "
            "reads, or unset KUBECONFIG for a cluster of the project's own."
        )
