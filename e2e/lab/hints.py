"""What a reader of the demo can type next: commands that work as they stand, on the cluster that it left running."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2e.lab.access import Access

STOP_CORE: Final = (
    "for p in /proc/[0-9]*; do "
    'if grep -qa "Engine[C]ore" $p/comm $p/cmdline; then kill -STOP ${p#/proc/}; fi; '
    "done 2>/dev/null"
)
"""For a shell in the engine's container. The brackets keep it from finding itself."""


def next_steps(access: Access, namespace: str, worker: str, pod: str) -> list[str]:
    """`pod` is a replica of the worker; the commands are in an order in which each still works."""
    return [
        f"export KUBECONFIG={quote(str(access.kubeconfig))} KUBECACHEDIR={quote(str(access.kubectl_cache))}",
        f"export PATH={quote(str(access.kubectl_program.parent))}:$PATH",
        f"kubectl -n {namespace} get llmworkers,llmincidents,pods",
        f"kubectl -n {namespace} exec {pod} -c engine -- sh -c {quote(STOP_CORE)}",
        f"kubectl -n {namespace} get llmincidents --watch   # Ctrl-C ends it",
        f"kubectl -n {namespace} scale llmworker {worker} --replicas=3",
        f"kubectl -n {namespace} patch llmworker {worker} --type=merge -p "
        + quote('{"spec":{"watchdog":{"mode":"Observe"}}}'),
        "make cluster-down",
    ]
