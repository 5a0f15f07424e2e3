"""What not every cluster can do, told before anything is built, started or installed."""

from typing import Final

from e2e.cluster.given import GivenCluster
from e2e.cluster.local import LocalNode, check_machine
from e2e.cluster.progress import ClusterError
from e2e.cluster.source import ClusterSource

NO_IMAGES: Final = (
    "Demo and end-to-end tests load the images that they build onto the node, and a given cluster has no way to take "
    "them: unset KUBECONFIG for a cluster of the project's own, or install on yours as the README's section `On your "
    "own cluster` says."
)
LOCAL_ONLY: Final = "{what}, which only the local node can do: unset KUBECONFIG and choose the source `local`."


def why_no_images(source: ClusterSource) -> str | None:
    """The reason why images cannot be loaded onto the node, None where they can."""
    return NO_IMAGES if isinstance(source, GivenCluster) else None


def refuse_tests(source: ClusterSource) -> None:
    """Raises ClusterError where the end-to-end tests could not begin."""
    if why := why_no_images(source):
        raise ClusterError(why)
    if isinstance(source, LocalNode):
        check_machine(source.state)


def why_not_here(what: str, source: ClusterSource) -> str | None:
    """For what needs this machine's own files and processes: the reason why it cannot be, None where it can."""
    return None if isinstance(source, LocalNode) else LOCAL_ONLY.format(what=what)
